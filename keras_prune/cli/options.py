"""Options that several commands have, and the checks of their values."""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_prune.cli.files import InputFile, ModelFile
from keras_prune.cli.keys import Split, keys
from keras_prune.cli.output import Target
from keras_prune.cli.quiet import import_keras
from keras_prune.importance import CRITERIA, names
from keras_prune.importance.registry import Of

if TYPE_CHECKING:
    from keras_prune.cli.data import Data
    from keras_prune.costs.budget import Budget

_KEYS = "the keys x and y, or x_train, y_train, x_test and y_test"
SAMPLES = 512  # on which an importance criterion is measured, unless the user says otherwise


def add_model(parser: argparse.ArgumentParser, positional: bool = True) -> None:
    """The model, and what it takes to load it."""
    if positional:
        parser.add_argument("model", type=ModelFile, help="a .keras file, or an .h5 file of Keras 3, Keras 2 or tfmot")
    parser.add_argument(
        "--custom-objects",
        action="append",
        default=[],
        metavar="MODULE[:NAME]",
        help="module with the custom classes and functions of the model; it is imported, so its code runs; may be "
        "repeated (default: none)",
    )
    parser.add_argument(
        "--unsafe",
        action="store_true",
        help="allow Python code in the model file (Lambda layers) to run: only for files from a trusted source",
    )


def model_of(args: argparse.Namespace, path: str | None = None, compile: bool = False) -> Any:
    """The model of these options. Keras is imported for it: options are checked before."""
    import_keras()
    from keras_prune.cli.models import load_model

    return load_model(path or args.model, args.custom_objects, unsafe=args.unsafe, compile=compile)


def add_output(parser: argparse.ArgumentParser, suffix: str) -> None:
    """The file that is written."""
    parser.add_argument("-o", "--output", required=True, metavar=f"FILE{suffix}", help="file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace output files that exist")


def target_of(args: argparse.Namespace, suffix: str, path: str | None = None) -> Target:
    """The checked path of an output."""
    return Target(path or args.output, suffix, args.overwrite)


def add_data(
    parser: argparse.ArgumentParser,
    use: str,
    samples: int | None,
    required: bool = False,
    split: Split = "train",
    targets: bool = True,
) -> None:
    """A file of data.

    Args:
        parser: Of the command.
        use: What the data are for.
        samples: How many are used by default; None: all.
        required: Whether they must be given.
        split: What they are for; it says which keys come first.
        targets: Whether targets are used too.
    """
    default = "" if required else " (default: no data)"
    parser.add_argument(
        "--data",
        type=InputFile,
        required=required,
        metavar="FILE.npz",
        help=f"{use}: an .npz file with {_KEYS if targets else 'the key x, or x_test, or x_train'}; for several inputs "
        f"x_<input> each{default}",
    )
    for letter, what in (("x", "inputs"), ("y", "targets"))[: 2 if targets else 1]:
        parser.add_argument(
            f"--{letter}-key",
            metavar="KEY",
            help=f"key of the {what} in --data (default: the first that exists of {', '.join(keys(letter, split))})",
        )
    parser.add_argument(
        "--samples",
        type=whole_number(0),
        default=samples or 0,
        metavar="N",
        help="number of samples of --data to use, drawn at random with a fixed seed; 0 uses all "
        f"(default: {samples or 0})",
    )


def data_of(args: argparse.Namespace, model: Any, split: Split = "train", targets: bool = False) -> "Data | None":
    """The data of these options; None if none were given."""
    if args.data is None:
        return None
    from keras_prune.cli.data import load_data

    return load_data(
        args.data,
        model,
        x_key=args.x_key,
        y_key=args.y_key,
        split=split,
        samples=args.samples or None,
        targets=targets,
    )


def file_inputs(args: argparse.Namespace, file: str) -> Any:
    """The inputs of these options as a `.tflite` file takes them, by name; None if none were given."""
    if args.data is None:
        return None
    import tflite_export
    from keras_prune.cli.arrays import drawn, open_arrays

    ports = [port.name for port in tflite_export.inspect(file, compressed=False).inputs]
    names = {port: "" if len(ports) == 1 else f"_{port}" for port in ports}
    with open_arrays(args.data) as arrays:
        key = arrays.first([args.x_key] if args.x_key else keys("x", "test"), list(names.values()))
        found = {port: arrays.read(key + name) for port, name in names.items()}
    lengths = {len(array) for array in found.values()}
    if args.samples and len(lengths) == 1:  # else they are refused where they are used
        chosen = drawn(lengths.pop(), args.samples)
        found = {port: array[chosen] for port, array in found.items()}
    return found


def add_port_types(parser: argparse.ArgumentParser) -> None:
    """The types of the inputs and outputs of a `.tflite` file."""
    for what in ("input", "output"):
        parser.add_argument(
            f"--{what}-type",
            choices=("float32", "int8", "uint8", "int16"),
            help=f"type of the file's {what}s: with --quantize int8 also int8 or uint8, with int16x8 also int16 "
            "(default: float32)",
        )


def add_verbose(parser: argparse.ArgumentParser, lines: str) -> None:
    """How much is printed on the way. `lines`: for what there is a line each with 2."""
    parser.add_argument(
        "--verbose",
        type=_verbose,
        choices=("auto", 0, 1, 2),
        default="auto",
        metavar="N",
        help=f"progress on standard error: 0 nothing, 1 bars, 2 a line for {lines}; auto shows bars for what takes "
        "long; without a terminal, lines stand for bars (default: auto)",
    )


def _verbose(text: str) -> str | int:
    return int(text) if text in ("0", "1", "2") else text


def add_limits(parser: argparse.ArgumentParser) -> None:
    """What a `.tflite` file may take when it runs."""
    parser.add_argument(
        "--timeout",
        type=positive,
        default=120,
        metavar="SECONDS",
        help="time that loading the file, or one call of it, may take (default: 120)",
    )
    parser.add_argument(
        "--memory-limit",
        type=whole_number(1),
        metavar="BYTES",
        help="memory that a run of the file may take, on Linux (default: that of the machine)",
    )


def add_loss(parser: argparse.ArgumentParser) -> None:
    """The loss."""
    parser.add_argument(
        "--loss", metavar="NAME", help="Keras loss, such as mse (default: the loss that the model was compiled with)"
    )


def add_metric(parser: argparse.ArgumentParser) -> None:
    """The metric."""
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="metric that the model was compiled with, or loss (default: its first metric, or else the loss)",
    )
    parser.add_argument(
        "--mode",
        choices=("auto", "min", "max"),
        default="auto",
        help="whether a low (min) or high (max) metric is better; auto tells by the metric (default: auto)",
    )


def add_importance(parser: argparse.ArgumentParser, criteria: Sequence[str], default: str) -> None:
    """The importance criterion.

    Args:
        parser: Of the command.
        criteria: The names that are allowed.
        default: One of them.
    """
    parser.add_argument(
        "--importance",
        type=one_of(criteria),
        default=default,
        metavar="NAME",
        help=f"importance criterion: {', '.join(criteria)} (default: {default})",
    )


def add_budget(
    parser: argparse.ArgumentParser, params: str = "parameters", file: str = "", weights: bool = True
) -> None:
    """The budget of the smaller model.

    Args:
        parser: Of the command.
        params: What are counted as parameters.
        file: Which `.tflite` file is exported.
        weights: Whether the bytes of the weights may be limited too.
    """
    limits = {"macs": "multiply-accumulates of a forward pass", "params": params}
    limits |= {"weight-bytes": "bytes of the weights in memory"} if weights else {}
    limits["bytes"] = f"bytes of the exported .tflite file, {file or 'as float32; needs TensorFlow'}"
    add_budget_limits(parser, limits)
    parser.add_argument(
        "--budget-latency",
        type=open_fraction,
        metavar="F",
        help="upper limit of the latency: a fraction of the original's, in (0, 1), measured on exported files; needs "
        "TensorFlow (default: no limit)",
    )


def add_budget_limits(parser: argparse.ArgumentParser, limits: Mapping[str, str]) -> None:
    """Upper limits of a budget.

    Args:
        parser: Of the command.
        limits: What is limited, by the name of the option after `--budget-`.
    """
    for name, what in limits.items():
        parser.add_argument(
            f"--budget-{name}",
            type=amount,
            metavar="N",
            help=f"upper limit of the {what}: a fraction of the original's, in (0, 1), or a number (default: no limit)",
        )


def budget_of(args: argparse.Namespace) -> "Budget | None":
    """The budget of these options; None if none was given."""
    names = ("macs", "params", "weight_bytes", "bytes", "latency")
    values = {name: getattr(args, f"budget_{name}", None) for name in names}
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        return None
    from keras_prune.costs.budget import Budget

    return Budget(**given)


def measurable(what: Of) -> list[str]:
    """The importance criteria that a trained model and data are enough for: `movement` is added up in training."""
    return [name for name in names(what) if CRITERIA[name].needs != "movement"]


def one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    """Read one of these names: `choices`, but with a message that ends in what was received."""

    def read(text: str) -> str:
        if text not in allowed:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(allowed)}. Received: {text!r}")
        return text

    return read


def fraction(text: str) -> float:
    """A number in [0, 1)."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a number in [0, 1). Received: {text!r}")
    return value


def open_fraction(text: str) -> float:
    """A number in (0, 1)."""
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a number in (0, 1). Received: {text!r}")
    return value


def amount(text: str) -> float | int:
    """A fraction in (0, 1), or a whole number above 0."""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a fraction in (0, 1), or a whole number. Received: {text!r}")
    return value


def positive(text: str) -> float:
    """A number above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0. Received: {text!r}")
    return value


def whole_number(least: int) -> Callable[[str], int]:
    """Read whole numbers of at least `least`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}. Received: {text!r}")
        return int(text)

    return read


def pattern_value(text: str) -> tuple[str, float | None]:
    """`PATTERN=0.5` or `PATTERN=none`: the value of the layers that match."""
    pattern, sign, value = text.rpartition("=")
    if not (sign and pattern):
        raise argparse.ArgumentTypeError(f"must be PATTERN=VALUE, such as conv*=0.5 or conv*=none. Received: {text!r}")
    return pattern, None if value == "none" else fraction(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number. Received: {text!r}") from None
