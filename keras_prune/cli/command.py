"""How a command is put together: its place among the parsers, its help with an example, and the options all share."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from keras_prune.cli.errors import EXIT_CODES, BadInput
from keras_prune.cli.results import Result

Run = Callable[[argparse.Namespace], Result]
UNTRUSTED = """Files are not trusted: Python code in a model (Lambda layers) is refused without --unsafe,
pickles in .npz files always. Files that exist are replaced only with --overwrite."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are like all others."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help")


def add_command(parsers: Any, name: str, run: Run | None, summary: str, about: str = "", example: str = "") -> Parser:
    """Adds a command.

    Args:
        parsers: Where it belongs.
        name: Its name.
        run: What it does; None for one that only has further commands.
        summary: A line that says what it does.
        about: What else the help says.
        example: Command lines that work where `model.keras` and the other files are; tests run them.
    """
    parts = [f"example:\n{_indented(example)}" if example else "", EXIT_CODES if run else ""]
    parser: Parser = parsers.add_parser(
        name,
        help=summary,
        description=f"{summary}\n\n{about}".strip(),
        epilog="\n\n".join(filter(None, parts)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if run is not None:
        parser.set_defaults(run=run, command=parser.prog.split(maxsplit=1)[1])
        parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
        parser.add_argument("--traceback", action="store_true", help="on an error, show where in the code it arose")
    return parser


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())
