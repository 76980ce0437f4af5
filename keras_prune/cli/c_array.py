"""`c-array`: a `.tflite` file as C source."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.errors import BadInput
from keras_prune.cli.files import InputFile
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "c-array",
        run,
        "Write a .tflite file as a C array, for a program without a file system.",
        "A header is written beside the source. Both are valid C and C++; the array is\naligned to 16 bytes.",
        example="keras-prune c-array int8.tflite -o model_data.cc",
    )
    parser.add_argument("file", type=InputFile, help="the .tflite file")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE.cc",
        help="source to write, which ends in .c, .cc or .cpp; the header beside it ends in .h",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the array in C (default: that of the source)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> Result:
    import tflite_export

    if args.output == "-":
        raise BadInput("-o must name a file, since two are written: the source, and the header. Received: '-'")
    array = tflite_export.to_c_array(args.file, args.output, args.name, overwrite=args.overwrite)
    text = f"Array {array.name}, {array.bytes:,} bytes, and its length {array.name}_len"
    values = {"name": array.name, "bytes": array.bytes, "header": array.header, "source": array.source}
    return Result(text, written=(array.header, array.source), values=values)
