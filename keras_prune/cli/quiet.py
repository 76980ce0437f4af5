"""The import of Keras, and standard error without the logs of TensorFlow, LiteRT and absl."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import tflite_export.noise
from keras_prune.cli.errors import BadInput, shortened

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def import_keras() -> None:
    """Import Keras, which takes seconds: options and files are checked before.

    Raises:
        BadInput: There is no such backend.
        ImportError: The backend is not installed.
        RuntimeError: It is, but fails.
    """
    os.environ.setdefault(_LEVEL, "2")  # errors only
    try:
        import keras  # noqa: F401
    except Exception as error:
        why = f"{type(error).__name__}: {shortened(error).rstrip('.')}"
        line = (
            f"Keras cannot be imported ({why}). Set the environment variable KERAS_BACKEND to tensorflow, jax or "
            f"torch, one that is installed. Received: {os.environ.get('KERAS_BACKEND', 'no KERAS_BACKEND')}"
        )
        for kind, shown in ((ValueError, BadInput), (ImportError, ImportError)):
            if isinstance(error, kind):
                raise shown(line) from error
        raise RuntimeError(line) from error


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Filter what native code writes to standard error; what Python writes is not touched.

    Some lines come whatever the level is, and past Python. Another process filters them (`tflite_export/noise.py`): if
    this one crashes, its last words are shown.
    """
    before = sys.__stderr__
    if "keras" in sys.modules or before is None or sys.stderr is not before:  # not the beginning of a program
        yield
        return
    try:
        kept = os.dup(2)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", tflite_export.noise.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for it
        )
    except OSError:  # there is no standard error, or there are no more processes
        yield
        return
    assert process.stdin is not None
    sys.stderr = os.fdopen(kept, "w", buffering=1, encoding=before.encoding, errors="backslashreplace")
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    try:
        yield
    finally:
        os.dup2(kept, 2)  # the last that writes to the process lets go of it
        sys.stderr = before
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
