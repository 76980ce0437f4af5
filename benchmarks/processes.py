"""Worker processes that live through the whole run and measure when they are asked: the others sleep meanwhile.

The two sides of a pipe: `Worker` in the driver asks, `serve` in the worker answers, one line of JSON for each question.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class WorkerError(RuntimeError):
    """A worker process ended before it had answered."""


class Worker:
    """A worker process.

    Args:
        python: The interpreter to run it with.
        script: A file in this folder, which calls `serve`.
        arguments: Its flags.
        environment: Variables to set for it.
    """

    def __init__(self, python: str, script: str, arguments: list[str], environment: Mapping[str, str]):
        # The limits are for processors: on a machine with an accelerator, it must not be used.
        processors_only = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # lives as long as the process
        self._process = subprocess.Popen(
            [python, str(Path(__file__).parent / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **processors_only, **environment},
        )
        self._command = " ".join([script, *arguments])

    def ask(self) -> dict[str, Any] | None:
        """Waits for the next measurement; None: there are no more.

        Raises:
            WorkerError: The worker crashed; the message ends with what it wrote last.
        """
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write("next\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            raise WorkerError(f"{self._command} ended with exit code {code}:\n{self._errors.read()[-3000:]}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


def serve(measurements: Iterator[dict[str, Any]]) -> None:
    """Answers each line on standard input with the next measurement; ends the process when there are no more lines."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever libraries print must not end up among the replies
    for _ in sys.stdin:
        replies.write(json.dumps(next(measurements, None)) + "\n")
        replies.flush()
    os._exit(0)  # a `fit` may still be held in the middle
