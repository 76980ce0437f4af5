"""`benchmark`: how long `.tflite` files take."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.options import whole_number
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "benchmark",
        run,
        "Time .tflite files on this machine, side by side, each in a process of its own.",
        "The files take turns, and get made-up inputs. The first is what the others are compared with.",
        example="keras-prune benchmark model.tflite int8.tflite --runs 20 --threads 1 2",
    )
    parser.add_argument("files", nargs="+", help=".tflite files")
    parser.add_argument("--runs", type=whole_number(1), default=100, metavar="N", help="calls that are timed")
    parser.add_argument(
        "--threads", type=whole_number(1), nargs="+", default=[1], metavar="N", help="numbers of threads (default: 1)"
    )


def run(args: argparse.Namespace) -> Result:
    import tflite_export

    return Result(tflite_export.benchmark(args.files, runs=args.runs, threads=args.threads))
