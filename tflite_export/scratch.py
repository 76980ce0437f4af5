"""Temporary folders and subprocesses that do not outlive this process, however it ends.

A process that is killed cannot clean up. While it has such a folder or subprocess, a second process stands by
(`tflite_export/workers/guard.py`), which sees the end of the first by a pipe that closes.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_GENERATED = "__autograph_generated_file"  # how TensorFlow names modules of code that it has translated
_PROGRAM = Path(__file__).parent / "workers" / "guard.py"


class _Guard:
    """The process that stands by: there is one while anything is listed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._listed = 0

    @contextlib.contextmanager
    def watch(self, kind: str, name: str | int) -> Iterator[None]:
        with self._lock:
            self._start()
            self._listed += 1
            self._tell("add", kind, name)
        try:
            yield
        finally:
            with self._lock:
                self._listed -= 1
                self._tell("remove", kind, name)
                if not self._listed:
                    self._stop()

    def forget(self) -> None:
        """Let go of it in a fork of this process, which would keep the pipe open."""
        process, self._process, self._listed = self._process, None, 0
        self._lock = threading.Lock()
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.returncode = 0  # it is no child of this process: not to be waited for

    def _start(self) -> None:
        if self._process is not None:
            return
        line = [sys.executable, "-I", "-S", str(_PROGRAM)]
        with contextlib.suppress(OSError):  # no more processes: then a kill leaves something behind
            # In a session of its own, so that what ends the owner's group or terminal does not end it.
            self._process = subprocess.Popen(
                line,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _tell(self, action: str, kind: str, name: str | int) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # somebody ended it
                self._process.stdin.write(json.dumps([action, kind, name]).encode() + b"\n")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()


_GUARD = _Guard()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_GUARD.forget)


@contextlib.contextmanager
def temporary_folder(prefix: str = "tflite_export_") -> Iterator[Path]:
    """Create a temporary folder, and remove it at the end, or when this process has ended in the meantime.

    Args:
        prefix: How its name begins. Defaults to `"tflite_export_"`.
    """
    folder = Path(tempfile.gettempdir(), f"{prefix}{secrets.token_hex(8)}").absolute()
    with _GUARD.watch("folder", str(folder)):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def ends_with_us(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Kill a subprocess at the end if it runs still, or when this process has ended in the meantime."""
    with _GUARD.watch("process", process.pid):
        try:
            yield
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


@contextlib.contextmanager
def generated_files_watched() -> Iterator[None]:
    """Remove the files of code that TensorFlow has translated here if this process ends in the meantime.

    TensorFlow removes them itself where Python ends as usual. They are those of this process alone: its modules.
    """
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(_GENERATED)]
    with contextlib.ExitStack() as stack:
        for module in modules:
            file = getattr(module, "__file__", None)
            if file is not None:
                stack.enter_context(_GUARD.watch("file", file))
        yield
