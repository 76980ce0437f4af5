"""Whether LiteRT can run a file at all: tried in a process of its own before it runs in the caller's.

LiteRT trusts the file. One that is damaged, or made to do harm, ends the process that loads it.
"""

import hashlib
import tempfile
from pathlib import Path

from tflite_export import subprocesses
from tflite_export.errors import ExportError
from tflite_export.reader import flatbuffer

_PROVEN: set[bytes] = set()  # of the contents that ran, by their hash


def prove(content: bytes, name: str) -> None:
    """Reads a file and runs it once on zeros in a child; does nothing for one that was proven before.

    Args:
        content: The bytes of the file.
        name: What to call it in the error.

    Raises:
        ValueError: It is damaged, or LiteRT cannot run it.
    """
    digest = hashlib.sha256(content).digest()
    if digest in _PROVEN:
        return
    flatbuffer.read(content)
    with tempfile.TemporaryDirectory(prefix="tflite_export_") as folder:
        file = Path(folder) / "model.tflite"
        file.write_bytes(content)
        try:
            subprocesses.run("tflite_export.workers.trial_run", str(file), task="the run in LiteRT")
        except ExportError as error:
            raise ValueError(f"LiteRT must be able to run the file {name!r}, but {error}") from error
    _PROVEN.add(digest)
