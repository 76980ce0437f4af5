"""Runs a module of this package in a Python process of its own.

The converter and LiteRT are native code that can end the process (segmentation faults were seen in both);
what runs in a child cannot take the user's training session with it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from tflite_export.errors import ExportError

_FAILED = 3  # a child that ends with this code has put its whole message on standard error's last part
_MARK = "tflite_export: "


def run(module: str, *arguments: str, task: str, environment: Mapping[str, str] | None = None) -> None:
    """Runs `python -m module arguments` and waits for its end.

    Args:
        module: The dotted name of the module.
        *arguments: What it gets in `sys.argv[1:]`.
        task: What the child does, for the error: "the conversion".
        environment: Variables to set for it.

    Raises:
        ExportError: The child failed: its own message, the signal that killed it or the end of what it
            printed.
    """
    line = command(module, *arguments)
    variables = _environment() | dict(environment or {})
    done = subprocess.run(line, env=variables, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return
    if done.returncode < 0:
        name = _signal_name(-done.returncode)
        raise ExportError(f"{task} crashed. Received: signal {name}{_tail(done.stderr)}")
    if done.returncode == _FAILED and _MARK in done.stderr:
        raise ExportError(f"{task} failed: {done.stderr.rpartition(_MARK)[2].strip()}")
    raise ExportError(f"{task} failed. Received: exit code {done.returncode}{_tail(done.stderr)}")


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a child. `-P` keeps the working directory, and a `numpy.py` in it, off its path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def fail(message: str) -> None:
    """Ends this process, a child, with a message for the parent's ExportError."""
    print(_MARK + message, file=sys.stderr, flush=True)
    sys.exit(_FAILED)


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path),  # what we could import
        "PYTHONIOENCODING": "utf-8",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # we may hold all the memory of the GPU, and a child has no use for it
    }


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def _tail(text: str, lines: int = 15) -> str:
    kept = text.strip().splitlines()[-lines:]
    return "; its last words:\n" + "\n".join(kept) if kept else ""
