"""The parts of every command: parser, help with an example, and the options that all have."""

import argparse
import difflib
import re
import shlex
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from keras_prune.cli.errors import EXIT_CODES, BadInput
from keras_prune.cli.results import Result

Run = Callable[[argparse.Namespace], Result]
UNTRUSTED = """Files are not trusted: Python code in a model (Lambda layers) is refused without
--unsafe, pickles in .npz files always. Existing files are replaced only with
--overwrite."""


class Parser(argparse.ArgumentParser):
    """Parser that raises `BadInput` in place of exiting, and names what is near to an unknown word."""

    def error(self, message: str) -> NoReturn:
        hint = ""
        if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)$", message):
            hint = _near(found[1], re.findall(r"[\w-]+", found[2]))
        raise BadInput(f"{message[:1].upper()}{message[1:]}.{hint} See {self.prog} --help")

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Raise a `BadInput` about words that mean nothing here."""
        options = [option for action in self._actions for option in action.option_strings]
        hints = dict.fromkeys(_near(word.partition("=")[0], options) for word in unknown if word.startswith("-"))
        raise BadInput(f"Unrecognized arguments: {shlex.join(unknown)}.{''.join(hints)} See {self.prog} --help")

    def in_options(self, text: str) -> str:
        """Return a message of the library with the options of this command in place of the arguments of functions."""
        found = {action.dest: action for action in self._actions if action.option_strings}

        def option(match: re.Match[str]) -> str:
            action = found.get(match[1])
            if action is None:
                parts = [dest for dest in found if dest.startswith(f"{match[1]}_")]
                return f"`--{match[1]}-...`" if len(parts) > 1 else match[0]  # `budget` is an option for each number
            value = "" if match[2] is None or action.nargs == 0 else f" {match[2]}"
            return f"`{action.option_strings[-1]}{value}`"

        return re.sub(r"`(\w+)(?:=([^`]*))?`", option, text)


def add_command(parsers: Any, name: str, run: Run | None, summary: str, about: str = "", example: str = "") -> Parser:
    """Add a command to these parsers.

    Args:
        parsers: Of the commands.
        name: Of the command.
        run: Function that runs it; None for a family of commands.
        summary: A line that says what it does.
        about: The rest of the description, in lines of at most 80 columns.
        example: Command lines that work in a folder with `model.keras` and the other files; tests run them.
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
        parser.set_defaults(run=run, command=parser.prog.split(maxsplit=1)[1], parser=parser)
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object on standard output and nothing else"
        )
        parser.add_argument(
            "--traceback", action="store_true", help="print the Python traceback of an error, and all logs"
        )
    return parser


def _near(word: str, known: Sequence[str]) -> str:
    """A question, if one of these is near."""
    begun = [each for each in known if len(word) > 2 and each.startswith(word)]
    near = [*begun, *difflib.get_close_matches(word, known, n=1)][:1]
    return f" Did you mean {near[0]}?" if near else ""


def _indented(text: str) -> str:
    """Command lines, folded at 80 columns as a shell reads them."""
    folded = (
        textwrap.wrap(line, 76, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
        for line in text.strip().splitlines()
    )
    return "\n".join("  " + " \\\n  ".join(parts) for parts in folded)
