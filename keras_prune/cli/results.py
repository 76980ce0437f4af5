"""`Result`: what a command found, as text and as JSON."""

import dataclasses
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Result:
    """Result of a command.

    Args:
        report: What was found, whose `str` is printed: a dataclass, or plain values.
        ok: Whether the answer is yes; no is exit code 1. Defaults to True.
        written: The files that were written. Defaults to none.
        unwritten: The files that were to be written, but not as the answer is no. Defaults to none.
        values: What JSON shows in place of the report, if that holds more than plain values. Defaults to None: the
            report.
    """

    report: Any
    ok: bool = True
    written: tuple[Path, ...] = ()
    unwritten: tuple[Path, ...] = ()
    values: Any = None

    def text(self) -> str:
        lines = [f"Wrote {path}, {path.stat().st_size:,} bytes" for path in self.written]
        lines += [f"Did not write {path}" for path in self.unwritten]
        return "\n".join(["" if self.report is None else str(self.report).rstrip("\n"), *lines]).strip("\n")

    def json(self, command: str) -> str:
        report = plain(self.report if self.values is None else self.values)
        written = [os.fspath(path) for path in self.written]
        return json.dumps({"command": command, "ok": self.ok, "written": written, "report": report}, indent=2)


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it.

    Dataclasses become objects of their fields, without models, and of those properties that are a number, a string or
    None: so the totals of a report are there, and its rows keep the name of their field. (`Report.to_json` has the
    rows under `"records"`.) NaN and infinities become null.

    Raises:
        TypeError: JSON cannot hold it.
    """
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        found = {name: plain(each) for name, each in fields.items() if not _is_layer(each)}
        return found | _properties(value)
    raise TypeError(f"JSON has no form for this. Received: {value!r} of type {type(value).__name__}")


def _is_layer(value: Any) -> bool:
    keras = sys.modules.get("keras")  # nothing is a layer unless Keras was imported
    return keras is not None and isinstance(value, keras.Layer)


def _properties(value: Any) -> dict[str, Any]:
    classes = reversed(type(value).__mro__)
    names = [name for cls in classes for name, each in vars(cls).items() if isinstance(each, property)]
    found = {name: getattr(value, name) for name in dict.fromkeys(names) if not name.startswith("_")}
    return {name: plain(each) for name, each in found.items() if each is None or isinstance(each, str | int | float)}
