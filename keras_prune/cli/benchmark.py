"""`benchmark`: the latency of `.tflite` files."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.options import positive, whole_number
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "benchmark",
        run,
        "Measure the latency of .tflite files on this machine, each in a subprocess.",
        "The files take turns, on synthetic inputs. Ratios are to the first file.",
        example="keras-prune benchmark model.tflite int8.tflite --runs 20 --threads 1 2",
    )
    parser.add_argument("files", nargs="+", help="one or more .tflite files; the first is the baseline of the ratios")
    parser.add_argument(
        "--runs", type=whole_number(1), default=100, metavar="N", help="number of timed calls (default: 100)"
    )
    parser.add_argument(
        "--threads",
        type=whole_number(1),
        nargs="+",
        default=[1],
        metavar="N",
        help="one or more numbers of threads to measure with (default: 1)",
    )
    parser.add_argument(
        "--timeout",
        type=positive,
        default=120,
        metavar="SECONDS",
        help="time that loading a file, or one call of it, may take (default: 120)",
    )


def run(args: argparse.Namespace) -> Result:
    import tflite_export

    return Result(tflite_export.benchmark(args.files, runs=args.runs, threads=args.threads, timeout=args.timeout))
