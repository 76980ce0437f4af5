"""A trial run of a file in a subprocess, before it runs in the process of the caller.

LiteRT trusts the file. One that is damaged, or made to do harm, ends the process that loads it.
"""

import hashlib

from tflite_export import subprocesses
from tflite_export.errors import ExportError
from tflite_export.limits import Limits
from tflite_export.reader import flatbuffer
from tflite_export.scratch import temporary_folder

_PASSED: set[bytes] = set()  # hashes of the contents that ran


def check_runs(content: bytes, name: str, limits: Limits) -> None:
    """Check a file and run it once on zeros in a subprocess; do nothing for a content that passed before.

    Args:
        content: The bytes of the file.
        name: The name of the file, for the error.
        limits: Of the run.

    Raises:
        ValueError: It is damaged, or LiteRT cannot run it within the limits.
    """
    digest = hashlib.sha256(content).digest()
    if digest in _PASSED:
        return
    flatbuffer.read(content)
    with temporary_folder() as folder:
        file = folder / "model.tflite"
        file.write_bytes(content)
        try:
            subprocesses.run("tflite_export.workers.trial_run", str(file), task="the run in LiteRT", limits=limits)
        except ExportError as error:
            raise ValueError(f"LiteRT must be able to run the file {name!r}, but {error}") from error
    _PASSED.add(digest)
