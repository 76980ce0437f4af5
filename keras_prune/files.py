"""Writing files in one step, at a place that was checked before any work was done."""

import os
import pathlib
import secrets


def check_target(path: str | os.PathLike[str], suffix: str, overwrite: bool) -> pathlib.Path:
    """Where to write; a link is followed, so that its target is replaced and not the link.

    Raises:
        ValueError: It has another ending, its folder does not exist, or something stands there.
    """
    target = pathlib.Path(os.path.realpath(path))
    if not os.fspath(path).endswith(suffix) or target.is_dir() or not target.parent.is_dir():
        raise ValueError(f"`path` must end in {suffix}, in a folder that exists. Received: '{os.fspath(path)}'")
    if target.exists() and not overwrite:
        raise ValueError(f"`path` must not exist, unless overwrite=True. Received: '{os.fspath(path)}'")
    return target


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Puts the file in place in one step: whoever opens it sees the old one or the new one, whole."""
    target = pathlib.Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
