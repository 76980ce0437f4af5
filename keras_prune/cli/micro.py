"""`micro`: whether TensorFlow Lite Micro can run a `.tflite` file, and what it takes."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.files import InputFile
from keras_prune.cli.options import add_data, add_limits, file_inputs
from keras_prune.cli.output import Target, is_standard_output
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "micro",
        run,
        "Check whether TensorFlow Lite Micro can run a .tflite file, and its memory.",
        """If it cannot, or computes other outputs than LiteRT, the exit code is 1. It runs
here after `pip install --pre tflite-micro` (Linux on x86-64); without, the file
is inspected for what TensorFlow Lite Micro lacks.""",
        example="keras-prune micro int8.tflite --data test.npz\nkeras-prune micro int8.tflite --resolver resolver.h",
    )
    parser.add_argument("file", type=InputFile, help="the .tflite file")
    add_data(parser, "real inputs for the comparison with LiteRT", 100, split="test", targets=False)
    parser.add_argument(
        "--resolver",
        metavar="FILE.h",
        help="write the C++ code that registers the operators of the file, and no others; - prints it in place of the "
        "report (default: none)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file of C++ code that exists")
    add_limits(parser)


def run(args: argparse.Namespace) -> Result:
    printed = is_standard_output(args.resolver, args.json)
    target = Target(args.resolver, ".h", args.overwrite) if args.resolver and not printed else None
    import tflite_export

    inputs = file_inputs(args, args.file)
    report = tflite_export.check_micro(args.file, inputs, timeout=args.timeout, memory_limit=args.memory_limit)
    if report.problems:
        return Result(report, ok=False, unwritten=() if target is None else (target.path,))
    if printed:
        return Result(tflite_export.micro_resolver(args.file))
    if target is None:
        return Result(report)
    code = tflite_export.micro_resolver(args.file)
    return Result(report, written=(target.write(lambda path: path.write_text(code, encoding="utf-8")),))
