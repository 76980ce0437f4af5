"""`compare`: models and files side by side."""

import argparse
import os
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.errors import BadInput
from keras_prune.cli.options import add_data, add_loss, add_model, data_of, model_of, whole_number
from keras_prune.cli.results import Result
from keras_prune.insight.comparison.compare import compare


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "compare",
        run,
        "Put models and .tflite files side by side: quality, size, work and time.",
        "All are judged by their outputs on the same data. Without --data nothing is run.",
        example="keras-prune compare model.keras small.keras model.tflite --data test.npz --metrics accuracy",
    )
    parser.add_argument("files", nargs="+", help=".keras, .h5 and .tflite files; the first is what ratios are to")
    add_model(parser, positional=False)
    add_data(parser, "what they are run on, and judged by", None)
    add_loss(parser)
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="metrics of Keras; default: those that the first compiled model has, or else the accuracy of classes",
    )
    parser.add_argument("--no-latency", action="store_true", help="time nothing")
    parser.add_argument("--runs", type=whole_number(1), default=50, metavar="N", help="calls that are timed")
    parser.add_argument("--export", action="store_true", help="take size and time of models from exported files, too")


def run(args: argparse.Namespace) -> Result:
    models = {
        name: path if path.endswith(".tflite") else model_of(args, path, compile=True)
        for name, path in _names(args.files).items()
    }
    first = next((model for model in models.values() if not isinstance(model, str)), None)
    data = data_of(args, first, split="test")
    comparison = compare(
        models,
        None if data is None else data.x,
        None if data is None else data.y,
        loss=args.loss,
        metrics=args.metrics,
        latency=not args.no_latency,
        runs=args.runs,
        export=args.export,
    )
    return Result(comparison, values={"models": comparison.records()})


def _names(paths: list[str]) -> dict[str, str]:
    """The files by a name for each: the short one where it is the only one."""
    short = [os.path.basename(path) for path in paths]
    names = {name if short.count(name) == 1 else path: path for name, path in zip(short, paths, strict=True)}
    if len(names) < len(paths):
        raise BadInput(f"Each file is compared once. Received: {paths}")
    return names
