"""`main`: the parser of all commands, and what is done around each of them: output, errors, warnings, exit codes."""

import argparse
import contextlib
import functools
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

from keras_prune.cli import (
    autoprune,
    benchmark,
    c_array,
    channels,
    compare,
    cost,
    export,
    inspect,
    micro,
    prune,
    sensitivity,
    strip,
    summary,
)
from keras_prune.cli.command import UNTRUSTED, Parser
from keras_prune.cli.errors import EXIT_CODES, FAILED, OK, exit_code, one_line, printable
from keras_prune.cli.files import check_files
from keras_prune.cli.quiet import without_noise
from keras_prune.cli.version import Version

_COMMANDS = (
    summary,
    cost,
    channels,
    sensitivity,
    prune,
    autoprune,
    strip,
    export,
    inspect,
    benchmark,
    compare,
    micro,
    c_array,
)


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser(
        prog="keras-prune",
        description=f"Pruning for Keras 3 on the command line.\n\n{UNTRUSTED}",
        epilog=f"The environment variable KERAS_BACKEND sets the backend, as for all of Keras:\n"
        f"KERAS_BACKEND=jax keras-prune ...\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument(
        "--version", action=Version, help="show the versions of this package and of those it uses, and exit"
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_to(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    The result is printed on standard output, as text or, with `--json`, as one JSON object; progress, warnings and
    errors on standard error.

    Args:
        argv: The arguments. Defaults to those of this process.

    Returns:
        The exit code; see `keras-prune --help`.
    """
    words = ["keras-prune", *(sys.argv[1:] if argv is None else argv)]
    args: Any = None
    try:
        args, unknown = parser().parse_known_args(words[1:])
        if unknown:
            args.parser.refuse(unknown)
        check_files(args)
        with _logs(args.traceback), _quiet(args.parser), contextlib.redirect_stdout(sys.stderr):
            result = args.run(args)
        text = result.json(args.command) if args.json else printable(result.text())
        _print(f"{text}\n", sys.stdout)
        return OK if result.ok else FAILED
    except SystemExit as end:  # --help and --version
        _print("", sys.stdout)
        return int(end.code or 0)
    except (Exception, KeyboardInterrupt) as error:
        if getattr(args, "traceback", False):
            traceback.print_exc()
        line = one_line(error, words)
        if args is not None:
            line = args.parser.in_options(line)
        if "--json" in words:
            answer = {"command": getattr(args, "command", None), "ok": False, "error": line}
            _print(json.dumps(answer, indent=2) + "\n", sys.stdout)
        _print(f"keras-prune: error: {line}\n", sys.stderr)
        return exit_code(error)


def _print(text: str, stream: TextIO | None) -> None:
    """Write text, and what was written before it."""
    if stream is None:  # it was closed
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:  # the reader has seen enough: `keras-prune ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _logs(wanted: bool) -> Any:
    """Filter logs, unless they are wanted."""
    return contextlib.nullcontext() if wanted else without_noise()


@contextlib.contextmanager
def _quiet(command: Parser) -> Any:
    """Show warnings as one line each, hide deprecations, and the logs of TensorFlow, JAX and absl below errors."""
    import absl.logging  # noqa: F401  # first: it makes a logger of its own kind

    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow", "jax")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.showwarning = functools.partial(_show_warning, command)
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _show_warning(command: Parser, message: Warning | str, *_: Any, **__: Any) -> None:
    line = command.in_options(printable(" ".join(str(message).split())))
    _print(f"keras-prune: warning: {line}\n", sys.stderr)
