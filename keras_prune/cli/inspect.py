"""`inspect`: the contents of a `.tflite` file."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.files import InputFile
from keras_prune.cli.output import Target, is_standard_output
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "inspect",
        run,
        "Show tensors, operators, sizes and zeros of a .tflite file, without running it.",
        example="keras-prune inspect model.tflite\nkeras-prune inspect model.tflite --html model.html",
    )
    parser.add_argument("file", type=InputFile, help="the .tflite file")
    parser.add_argument(
        "--html",
        metavar="FILE.html",
        help="write an HTML page with all tensors to this file; - prints it in place of the report (default: none)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an HTML page that exists")
    parser.add_argument("--fast", action="store_true", help="do not measure the size after gzip and xz")


def run(args: argparse.Namespace) -> Result:
    printed = is_standard_output(args.html, args.json)
    target = Target(args.html, ".html", args.overwrite) if args.html and not printed else None
    import tflite_export

    report = tflite_export.inspect(args.file, compressed=not args.fast)
    if printed:
        return Result(report.to_html())
    if target is None:
        return Result(report)
    return Result(report, written=(target.write(lambda path: path.write_text(report.to_html(), encoding="utf-8")),))
