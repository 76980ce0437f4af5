"""`compare`: models and `.tflite` files side by side."""

import argparse
import os
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.errors import BadInput
from keras_prune.cli.files import ComparedFile
from keras_prune.cli.options import add_data, add_loss, add_model, data_of, model_of, whole_number
from keras_prune.cli.quiet import import_keras
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "compare",
        run,
        "Compare models and .tflite files: loss and metrics, size, MACs and latency.",
        "All are evaluated by their outputs on the same data; without --data none is run.",
        example="keras-prune compare model.keras small.keras model.tflite --data test.npz --metrics accuracy",
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=ComparedFile,
        help=".keras, .h5 and .tflite files; the first is the baseline of the ratios",
    )
    add_model(parser, positional=False)
    add_data(parser, "samples to evaluate on", None, split="test")
    add_loss(parser)
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="one or more Keras metrics (default: those of the first compiled model, or else the accuracy of classes)",
    )
    parser.add_argument(
        "--batch-size",
        type=whole_number(1),
        default=256,
        metavar="N",
        help="samples in a batch, for Keras models (default: 256)",
    )
    parser.add_argument("--no-latency", action="store_true", help="do not measure the latency")
    parser.add_argument(
        "--runs", type=whole_number(1), default=50, metavar="N", help="number of timed calls (default: 50)"
    )
    parser.add_argument(
        "--export",
        action="store_true",
        help="export the models too, and report size and latency of the files (needs TensorFlow)",
    )


def run(args: argparse.Namespace) -> Result:
    names = _names(args.files)
    import_keras()
    from keras_prune.insight.comparison.compare import compare

    models = {
        name: str(path) if path.endswith(".tflite") else model_of(args, path, compile=True)
        for name, path in names.items()
    }
    first = next((model for model in models.values() if not isinstance(model, str)), None)
    data = data_of(args, first, split="test")
    comparison = compare(
        models,
        None if data is None else data.x,
        None if data is None else data.y,
        loss=args.loss,
        metrics=args.metrics,
        batch_size=args.batch_size,
        latency=not args.no_latency,
        runs=args.runs,
        export=args.export,
    )
    return Result(comparison, values={"models": comparison.records()})


def _names(paths: list[str]) -> dict[str, str]:
    """The files by their names, without the folder where that is unambiguous."""
    short = [os.path.basename(path) for path in paths]
    names = {name if short.count(name) == 1 else path: path for name, path in zip(short, paths, strict=True)}
    if len(names) < len(paths):
        raise BadInput(f"Each file is compared once. Received: {paths}")
    return names
