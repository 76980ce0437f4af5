"""`inspect`: what stands in a `.tflite` file."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.output import Target
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "inspect",
        run,
        "Show what stands in a .tflite file, anybody's: it is not run.",
        example="keras-prune inspect model.tflite\nkeras-prune inspect model.tflite --html model.html",
    )
    parser.add_argument("file", help="a .tflite file")
    parser.add_argument("--html", metavar="FILE.html", help="write it as a page, with all tensors")
    parser.add_argument("--overwrite", action="store_true", help="replace a page that exists")
    parser.add_argument("--fast", action="store_true", help="do not measure its size after gzip and xz")


def run(args: argparse.Namespace) -> Result:
    import tflite_export

    target = Target(args.html, ".html", args.overwrite) if args.html else None
    report = tflite_export.inspect(args.file, compressed=not args.fast)
    if target is None:
        return Result(report)
    return Result(report, written=(target.write(lambda path: path.write_text(report.to_html(), encoding="utf-8")),))
