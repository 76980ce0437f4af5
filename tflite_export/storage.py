"""Writing files in one step, at a place that was checked before any work was done."""

import os
import secrets
from pathlib import Path

from tflite_export.validation import check_flag


def checked_target(path: str | os.PathLike[str], suffixes: tuple[str, ...], *, overwrite: bool, name: str) -> Path:
    """Return where to write. A link is followed, so that its target is replaced and not the link.

    Raises:
        ValueError: It has another ending, its folder does not exist, or it exists and `overwrite` is False.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"`{name}` must be a path. Received: {path!r}")
    check_flag(overwrite, "overwrite")
    received = os.fspath(path)
    target = Path(os.path.realpath(path))
    if not os.fspath(path).endswith(suffixes):
        raise ValueError(f"`{name}` must end in {' or '.join(suffixes)}. Received: {received!r}")
    if target.is_dir() or not target.parent.is_dir():
        raise ValueError(f"`{name}` must be a file in a folder that exists. Received: {received!r}")
    if target.exists() and not overwrite:
        raise ValueError(f"`{name}` must not exist, unless overwrite=True. Received: {received!r}")
    return target


def write(target: Path, content: bytes) -> None:
    """Write a file in one step: a program that opens `target` sees the old file or the new one, whole."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
