"""Runs a worker, a module of `tflite_export.workers`, in a subprocess.

The converter and LiteRT are native code that can end the process (segmentation faults were seen in both); a crash of
a subprocess does not end the user's training session.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tflite_export.errors import ExportError
from tflite_export.limits import Limits
from tflite_export.noise import is_noise
from tflite_export.scratch import ends_with_us, generated_files_watched, temporary_folder

_FAILED = 3  # the exit code of a worker that has written its whole message to the end of standard error
_MARK = "tflite_export: "
_MEMORY = re.compile(r"memory|alloc|Received: Node", re.IGNORECASE)  # or LiteRT gives no reason


def run(
    module: str,
    *arguments: str,
    task: str,
    environment: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> None:
    """Run `python -m module arguments` and wait for its end.

    Args:
        module: The dotted name of the worker.
        *arguments: What it gets in `sys.argv[1:]`.
        task: What it does, for the error: "the conversion".
        environment: Variables to set for it. Defaults to None, no others.
        limits: What it may take; the worker sets them with a `Watch`. Defaults to None, no limits.

    Raises:
        ExportError: The worker failed: its own message, the signal that killed it, or the end of what it printed.
    """
    line = command(module, *arguments)
    variables = _environment() | dict(environment or {}) | ({} if limits is None else limits.environment())
    done = execute(line, variables)
    if done.returncode == 0:
        return
    if limits is not None and (reason := limits.reason(done.returncode, done.stderr)):
        raise ExportError(f"{task} {reason}")
    hint = "" if limits is None else limits.hint()
    if done.returncode < 0:
        name = _signal_name(-done.returncode)
        raise ExportError(f"{task} crashed. Received: signal {name}{hint}{_tail(done.stderr)}")
    if done.returncode == _FAILED and _MARK in done.stderr:
        said = done.stderr.rpartition(_MARK)[2].strip()
        raise ExportError(f"{task} failed: {said}{hint if _MEMORY.search(said) else ''}")
    raise ExportError(f"{task} failed. Received: exit code {done.returncode}{_tail(done.stderr)}")


def execute(line: Sequence[str], env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end. It does not outlive this process, nor do the temporary files that it makes."""
    with temporary_folder() as folder, generated_files_watched():
        process = subprocess.Popen(
            line,
            env={**env, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        with ends_with_us(process):
            output, errors = process.communicate()
        return subprocess.CompletedProcess(line, process.returncode, output, errors)


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a worker. `-P` keeps the working directory, and a `numpy.py` in it, off its path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def fail(message: str) -> None:
    """End this process, a worker, with a message for the ExportError of the process that started it."""
    print(_MARK + message, file=sys.stderr, flush=True)
    sys.exit(_FAILED)


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path),  # what we could import
        "PYTHONIOENCODING": "utf-8",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # this process may hold all memory of the GPU; workers do not use it
    }


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def _tail(text: str, lines: int = 15) -> str:
    kept = [line for line in text.strip().splitlines() if line.strip() and not is_noise(line)][-lines:]
    return "; its last words:\n" + "\n".join(kept) if kept else ""
