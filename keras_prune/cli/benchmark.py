"""`benchmark`: the latency of `.tflite` files."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.files import InputFile
from keras_prune.cli.options import add_data, add_limits, file_inputs, whole_number
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "benchmark",
        run,
        "Measure the latency of .tflite files on this machine, each in a subprocess.",
        "The files take turns. Ratios are to the first file.",
        example="keras-prune benchmark model.tflite int8.tflite --runs 20 --threads 1 2",
    )
    parser.add_argument(
        "files", nargs="+", type=InputFile, help="one or more .tflite files; the first is the baseline of the ratios"
    )
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
    add_data(parser, "real inputs, of which the first sample is used", None, split="test", targets=False)
    add_limits(parser)


def run(args: argparse.Namespace) -> Result:
    import tflite_export

    found = tflite_export.benchmark(
        args.files,
        runs=args.runs,
        threads=args.threads,
        inputs=file_inputs(args, args.files[0]),
        timeout=args.timeout,
        memory_limit=args.memory_limit,
    )
    return Result(found)
