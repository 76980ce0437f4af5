"""Options that commands share, and how their values are read."""

import argparse
import math
from collections.abc import Callable
from typing import Any

from keras_prune.cli.data import Data, Split, load_data
from keras_prune.cli.models import load_model
from keras_prune.cli.output import Target
from keras_prune.costs.budget import Budget

SAMPLES = 512  # on which an importance is measured, unless said otherwise


def add_model(parser: argparse.ArgumentParser, positional: bool = True) -> None:
    """The model, and what it takes to load it."""
    if positional:
        parser.add_argument("model", help="a .keras file, or an .h5 file of Keras 3, Keras 2 or tfmot")
    parser.add_argument(
        "--custom-objects",
        action="append",
        default=[],
        metavar="MODULE[:NAME]",
        help="import this module for the classes and functions of the model, which runs its code; may be repeated",
    )
    parser.add_argument(
        "--unsafe", action="store_true", help="run Python code in the file (Lambda layers): only if you trust its maker"
    )


def model_of(args: argparse.Namespace, path: str | None = None, compile: bool = False) -> Any:
    """The model of these options."""
    return load_model(path or args.model, args.custom_objects, unsafe=args.unsafe, compile=compile)


def add_output(parser: argparse.ArgumentParser, suffix: str) -> None:
    """Where the result goes."""
    parser.add_argument("-o", "--output", required=True, metavar=f"FILE{suffix}", help="the file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def target_of(args: argparse.Namespace, suffix: str, path: str | None = None) -> Target:
    """The checked place of an output."""
    return Target(path or args.output, suffix, args.overwrite)


def add_data(parser: argparse.ArgumentParser, use: str, samples: int | None, required: bool = False) -> None:
    """A file of data.

    Args:
        parser: Of the command.
        use: What the data are for.
        samples: How many are used by default; None: all.
        required: Whether they must be given.
    """
    parser.add_argument(
        "--data",
        required=required,
        metavar="FILE.npz",
        help=f"{use}; keys x and y, or x_train, y_train, x_test, y_test; x_<input> for each of several inputs",
    )
    parser.add_argument("--x-key", metavar="KEY", help="the key of the inputs")
    parser.add_argument("--y-key", metavar="KEY", help="the key of the targets")
    many = "all" if samples is None else f"{samples}, 0: all"
    parser.add_argument(
        "--samples",
        type=whole_number(0),
        default=samples or 0,
        metavar="N",
        help=f"use N of them, drawn at random, always the same (default: {many})",
    )


def data_of(args: argparse.Namespace, model: Any, split: Split = "train", targets: bool = False) -> Data | None:
    """The data of these options; None if none were given."""
    if args.data is None:
        return None
    return load_data(
        args.data,
        model,
        x_key=args.x_key,
        y_key=args.y_key,
        split=split,
        samples=args.samples or None,
        targets=targets,
    )


def add_loss(parser: argparse.ArgumentParser) -> None:
    """What is minimised."""
    parser.add_argument(
        "--loss", metavar="NAME", help="a loss of Keras, such as mse; default: the one that the model was compiled with"
    )


def add_metric(parser: argparse.ArgumentParser) -> None:
    """What is measured."""
    parser.add_argument(
        "--metric", metavar="NAME", help="a metric that the model was compiled with, or loss (default: its first)"
    )
    parser.add_argument(
        "--mode", choices=("auto", "min", "max"), default="auto", help="whether it should be low or high"
    )


def add_budget(parser: argparse.ArgumentParser, params: str = "parameters", size: str = "bytes of the weights") -> None:
    """What the smaller model may cost.

    Args:
        parser: Of the command.
        params: What are counted as parameters.
        size: Which bytes are counted.
    """
    for name, what in (("macs", "multiply-accumulates"), ("params", params), ("bytes", size)):
        parser.add_argument(
            f"--budget-{name}",
            type=amount,
            metavar="N",
            help=f"how many {what} may be left: a fraction such as 0.5, or a number",
        )
    parser.add_argument(
        "--budget-latency",
        type=fraction,
        metavar="F",
        help="the fraction of the latency that may be left, measured on exported files (needs TensorFlow)",
    )


def budget_of(args: argparse.Namespace) -> Budget | None:
    """The budget of these options; None if none was given."""
    values = {name: getattr(args, f"budget_{name}") for name in ("macs", "params", "bytes", "latency")}
    given = {name: value for name, value in values.items() if value is not None}
    return Budget(**given) if given else None


def fraction(text: str) -> float:
    """A number in [0, 1)."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a number in [0, 1). Received: {text!r}")
    return value


def amount(text: str) -> float | int:
    """A fraction, or a whole number."""
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
    """Reads whole numbers of at least `least`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}. Received: {text!r}")
        return int(text)

    return read


def pattern_value(text: str) -> tuple[str, float | None]:
    """`PATTERN=0.5` or `PATTERN=none`, for layers with a value of their own."""
    pattern, sign, value = text.rpartition("=")
    if not (sign and pattern):
        raise argparse.ArgumentTypeError(f"must be PATTERN=VALUE, such as conv*=0.5 or conv*=none. Received: {text!r}")
    return pattern, None if value == "none" else fraction(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number. Received: {text!r}") from None
