"""Writing files atomically, to a path that is checked before any work is done."""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from tflite_export.storage import write_together


def check_target(path: str | os.PathLike[str], suffix: str, overwrite: bool) -> pathlib.Path:
    """The path to write to; a link is followed, so that its target is replaced and not the link.

    Raises:
        ValueError: It has another ending, its folder does not exist, or the file exists already.
    """
    target = pathlib.Path(os.path.realpath(path))
    if not os.fspath(path).endswith(suffix) or target.is_dir() or not target.parent.is_dir():
        raise ValueError(f"`path` must end in {suffix}, in a folder that exists. Received: '{os.fspath(path)}'")
    if target.exists() and not overwrite:
        raise ValueError(f"`path` must not exist, unless overwrite=True. Received: '{os.fspath(path)}'")
    return target


def write_with(path: str | os.PathLike[str], save: Callable[[pathlib.Path], object], *, overwrite: bool = True) -> None:
    """Lets `save` write a temporary file and puts it in place: readers see the old file or the new one, never a part.

    Raises:
        ValueError: Without `overwrite` a file has appeared there; it is kept.
    """
    write_together([(pathlib.Path(os.path.realpath(path)), save)], overwrite=overwrite)


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool = True) -> None:
    """Writes a text file, likewise."""
    write_with(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), overwrite=overwrite)


def write_plan(path: str | pathlib.Path, content: dict[str, Any], *, overwrite: bool = True) -> None:
    """Writes a plan as JSON, likewise."""
    write_text(path, json.dumps(content, indent=1) + "\n", overwrite=overwrite)
