"""`export`: a `.tflite` file whose outputs were compared with those of Keras."""

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_prune.cli.command import add_command
from keras_prune.cli.files import InputFile
from keras_prune.cli.options import (
    SAMPLES,
    add_data,
    add_limits,
    add_model,
    add_output,
    add_port_types,
    data_of,
    model_of,
    positive,
    target_of,
    whole_number,
)
from keras_prune.cli.results import Result

if TYPE_CHECKING:
    import numpy as np

_SPARSE: dict[str, Any] = {"auto": "auto", "yes": True, "no": False}


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "export",
        run,
        "Export a model to a .tflite file, verified: LiteRT must give Keras's outputs.",
        "If the outputs differ, nothing is written, and the exit code is 1.\n"
        "Needs TensorFlow and LiteRT: pip install tensorflow ai-edge-litert",
        example="keras-prune export model.keras -o model.tflite --data test.npz\n"
        "keras-prune export model.keras -o int8.tflite --quantize int8 --representative-data train.npz",
    )
    add_model(parser)
    add_output(parser, ".tflite")
    parser.add_argument(
        "--quantize",
        choices=("float16", "dynamic", "int8", "int16x8", "int4"),
        help="quantization of the file; int4 needs pip install litert-quantizer (default: none, all is float32)",
    )
    parser.add_argument(
        "--representative-data",
        type=InputFile,
        metavar="FILE.npz",
        help="real inputs for the ranges of activations, needed for int8 and int16x8: an .npz file, of which "
        f"{SAMPLES} samples are drawn (default: none)",
    )
    add_port_types(parser)
    scales = parser.add_mutually_exclusive_group()
    scales.add_argument(
        "--per-channel",
        action="store_true",
        default=None,
        help="quantize weights with one scale for each output channel (default: per channel, or per tensor where "
        "weights are clustered)",
    )
    scales.add_argument(
        "--per-tensor", action="store_false", dest="per_channel", help="quantize weights with one scale for each kernel"
    )
    parser.add_argument(
        "--sparse",
        choices=tuple(_SPARSE),
        default="auto",
        help="whether zeros are left out of the file; auto keeps the smaller file (default: auto)",
    )
    parser.add_argument(
        "--tolerance",
        type=positive,
        metavar="T",
        help="largest difference between the outputs of LiteRT and Keras, relative to max(1, max|Keras output|) "
        "(default: by --quantize, see tflite_export.export)",
    )
    parser.add_argument(
        "--compare", type=whole_number(1), default=8, metavar="N", help="number of samples to compare (default: 8)"
    )
    add_limits(parser)
    parser.add_argument(
        "--batch-size",
        type=batch_size,
        default=1,
        metavar="N",
        help='number of samples that the file takes at a time; "free": as many as it is given (default: 1)',
    )
    parser.add_argument(
        "--signature",
        action="append",
        type=signature,
        metavar="[NAME=]SHAPE[:TYPE]",
        help="shape of an input without the batch, and its type, where the model leaves them open: 28,28,1 or "
        "ids=64:int32; may be repeated (default: those of the model)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        choices=("flex", "custom"),
        default=[],
        help="operators that the file may have besides LiteRT's own; with --no-verify; may be repeated (default: none)",
    )
    parser.add_argument(
        "--no-verify",
        dest="verify",
        action="store_false",
        help="neither run the file nor compare it with Keras (default: verify)",
    )
    add_data(
        parser,
        "real inputs for the comparison; with classes as targets, also for the accuracy",
        None,
        split="test",
    )


def run(args: argparse.Namespace) -> Result:
    target = target_of(args, ".tflite")
    model = model_of(args)
    import tflite_export
    from keras_prune.cli.data import load_data

    data = data_of(args, model, split="test")
    representative = None
    if args.representative_data is not None:
        representative = load_data(args.representative_data, model, x_key=args.x_key, samples=SAMPLES).x
    report = tflite_export.export(
        model,
        target.path,
        quantize=args.quantize,
        representative_data=representative,
        input_type=args.input_type,
        output_type=args.output_type,
        per_channel=args.per_channel,
        sparse=_SPARSE[args.sparse],
        inputs=None if data is None else data.x,
        labels=None if data is None or not args.verify else classes(data.y, getattr(model, "output_shape", None)),
        tolerance=args.tolerance,
        samples=args.compare,
        timeout=args.timeout,
        memory_limit=args.memory_limit,
        batch_size=args.batch_size,
        signature=signature_of(args.signature, args.batch_size),
        allow=tuple(args.allow),
        verify=args.verify,
        overwrite=args.overwrite,
    )
    return Result(report, written=(target.path,))


def batch_size(text: str) -> int | None:
    """Return the batch size of an option; None for "free"."""
    return None if text == "free" else int(whole_number(1)(text))


def signature(text: str) -> tuple[str, tuple[int, ...], str]:
    """Return the name, shape and type of `[NAME=]SHAPE[:TYPE]`; the name is "" if it is left out."""
    found = re.fullmatch(r"(?:([^=]+)=)?(\d+(?:,\d+)*)(?::(\w+))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"must be [NAME=]SHAPE[:TYPE], such as ids=64:int32. Received: {text!r}")
    return found[1] or "", tuple(int(size) for size in found[2].split(",")), found[3] or "float32"


def signature_of(entries: Sequence[tuple[str, tuple[int, ...], str]] | None, batch: int | None) -> Any:
    """Return the `signature` of `tflite_export.export`: by the names of inputs, or in their order; None without one."""
    if not entries:
        return None
    import keras

    specs = [keras.KerasTensor((batch, *shape), dtype) for _, shape, dtype in entries]
    names = [name for name, _, _ in entries]
    if all(names):
        return dict(zip(names, specs, strict=True))
    return specs if len(specs) > 1 else specs[0]


def classes(targets: Any, output_shape: Any) -> "np.ndarray | None":
    """Return the targets if they are classes, so that the accuracy of the model's scores can be measured; else None.

    Args:
        targets: Of the samples.
        output_shape: Of the model: `(None, classes)` if it has one output of scores; `(None, 1)` for a probability.
    """
    import numpy as np

    scores = isinstance(output_shape, tuple) and len(output_shape) == 2 and isinstance(output_shape[1], int)
    if not scores or not isinstance(targets, np.ndarray):
        return None
    width = output_shape[1]
    if targets.shape[1:] == (width,) and width > 1:
        one_hot = np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all()
        return targets if one_hot else None
    numbers = targets.shape[1:] in ((), (1,)) and np.isin(targets, np.arange(max(width, 2))).all()
    return targets if numbers else None
