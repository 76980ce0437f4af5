"""`main`: the parser of all commands, and what happens around a command, whichever it is."""

import argparse
import contextlib
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from keras_prune._version import __version__
from keras_prune.cli import autoprune, benchmark, compare, export, inspect, looking, prune, sensitivity, strip
from keras_prune.cli.command import UNTRUSTED, Parser
from keras_prune.cli.errors import EXIT_CODES, FAILED, OK, exit_code, one_line, printable

_FAMILIES = (looking, sensitivity, prune, autoprune, strip, export, inspect, benchmark, compare)


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser(
        prog="keras-prune",
        description=f"Pruning for Keras 3 on the command line.\n\n{UNTRUSTED}",
        epilog=f"The backend is that of KERAS_BACKEND, as for all of Keras: KERAS_BACKEND=jax keras-prune ...\n\n"
        f"{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"keras-prune {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for family in _FAMILIES:
        family.add_to(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    The result goes to standard output, as text or, with `--json`, as one JSON object; all else, such as progress, goes
    to standard error.

    Args:
        argv: The arguments; by default those of this process.

    Returns:
        The exit code; see `keras-prune --help`.
    """
    words = ["keras-prune", *(sys.argv[1:] if argv is None else argv)]
    args: Any = None
    try:
        args = parser().parse_args(words[1:])
        with _quiet(), contextlib.redirect_stdout(sys.stderr):
            result = args.run(args)
        _print(result.json(args.command) if args.json else printable(result.text()))
        return OK if result.ok else FAILED
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    except (Exception, KeyboardInterrupt) as error:
        if getattr(args, "traceback", False):
            traceback.print_exc()
        line = one_line(error, words)
        if "--json" in words:
            _print(json.dumps({"command": getattr(args, "command", None), "ok": False, "error": line}, indent=2))
        print(f"keras-prune: error: {line}", file=sys.stderr)
        return exit_code(error)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader has seen enough: `keras-prune ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _quiet() -> Any:
    """Warnings as one line each; none of those that are for programmers, and no logs of TensorFlow's and absl's."""
    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow", "jax")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"keras-prune: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)
