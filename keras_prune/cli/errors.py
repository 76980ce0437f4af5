"""Exit codes, and errors as messages of one line."""

import re
import shlex
from collections.abc import Sequence

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
EXIT_CODES = """exit codes:
  0  success
  1  failure, or the answer is no: an exported file whose outputs differ from
     those of the model, a goal that was not met, a file that TensorFlow Lite
     Micro cannot run
  2  bad usage or bad input: an option, a file or data that cannot be used
"""
_LONGEST = 1000  # Keras puts whole configurations into its messages


class BadInput(ValueError):
    """Error: an option, a file or data cannot be used. The message ends in "Received: ..."."""


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error: as everywhere in the library, bad input is a `ValueError` or `TypeError`."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return BAD_INPUT if isinstance(error, ValueError | TypeError) else FAILED


def one_line(error: BaseException, arguments: Sequence[str]) -> str:
    """Return the message of an error as one line that ends in what was received."""
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted."
    text = shortened(error)
    if not isinstance(error, ValueError | TypeError):
        text = f"{type(error).__name__}: {text}"
    return text if "Received: " in text else f"{text.rstrip('.')}. Received: {shlex.join(arguments)}"


def shortened(error: BaseException) -> str:
    """Return the message of an error without line breaks and control characters, and of limited length."""
    text = printable(re.sub(r"\s+", " ", str(error))).strip() or type(error).__name__
    if len(text) <= _LONGEST:
        return text
    received = text.rfind("Received: ")  # the end says what it was about
    tail = text[received : received + _LONGEST // 2] if received > 0 else ""
    return f"{text[: _LONGEST - len(tail)]} ... {tail}".rstrip()


def printable(text: str) -> str:
    """Return the text without control codes for the terminal: names come from files."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
