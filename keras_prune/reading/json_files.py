"""Reading JSON: any file that is not of the expected form is a `ValueError` that says what is wrong with it."""

import dataclasses
import json
import math
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

from keras_prune.reading.limits import LONGEST_JSON

_T = typing.TypeVar("_T")
_LARGEST = 2**63 - 1
_WORDS = {str: "text", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "an object"}


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds something else.
    """
    with open(path, "rb") as file:
        content = file.read(LONGEST_JSON + 1)
    return parse_json(content)


def parse_json(content: bytes | str) -> dict[str, Any]:
    """Parses one JSON object.

    Raises:
        ValueError: It is something else, or too large or too deeply nested to be read.
    """
    if len(content) > LONGEST_JSON:
        raise ValueError(f"it has more than {LONGEST_JSON:,} bytes")
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"it must be a JSON object, not {_shown(found)}")
    return found


def read_plan(path: str | os.PathLike[str], key: str, kind: type) -> tuple[str, Any]:
    """The fingerprint in a plan, and its content under a key.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds no such plan.
    """
    found = fields(read_json(path), {"fingerprint": str, key: kind})
    return found["fingerprint"], found[key]


def record(cls: type[_T], content: Any) -> _T:
    """A dataclass from an object with just its fields, each of the type that the class says.

    Raises:
        ValueError: A field is missing, unknown, or of another type.
    """
    names = {field.name for field in dataclasses.fields(typing.cast(Any, cls))}
    if isinstance(content, dict) and (unknown := set(content) - names):
        raise ValueError(f"{cls.__name__} has no field {sorted(unknown)[0]!r}")
    hints = typing.get_type_hints(cls)
    return cls(**fields(content, {name: hints[name] for name in names}))


def fields(content: Any, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an object with these names, each of its type: `str`, `float`, `int | None` and so on.

    Integers count as numbers; `true` counts as no number. Numbers may be NaN and infinite, as metrics are; integers are
    those of 64 bits.

    Raises:
        ValueError: A field is missing, or of another type.
    """
    if not isinstance(content, dict):
        raise ValueError(f"it must have the fields {sorted(kinds)}, and is {_shown(content)}")
    found = {}
    for name, kind in kinds.items():
        if name not in content:
            raise ValueError(f"it must have '{name}'")
        found[name] = _checked(content[name], kind, name)
    return found


def items(content: list[Any], kind: Any, name: str) -> list[Any]:
    """The items of a list, each of a type.

    Raises:
        ValueError: One is of another type.
    """
    return [_checked(each, kind, name) for each in content]


def finite(value: Any, name: str) -> float:
    """A finite number.

    Raises:
        ValueError: It is none.
    """
    number: float = _checked(value, float, name)
    if not math.isfinite(number):
        raise ValueError(f"'{name}' must be a finite number, not {number}")
    return number


def _checked(value: Any, kind: Any, name: str) -> Any:
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    for each in kinds:
        if each is float and type(value) in (int, float) and (type(value) is float or abs(value) <= _LARGEST):
            return float(value)
        if type(value) is each and not (each is int and abs(value) > _LARGEST):
            return value
    wanted = " or ".join("null" if each is types.NoneType else _WORDS[each] for each in kinds)
    raise ValueError(f"'{name}' must be {wanted}, not {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{_WORDS[type(value)]} of length {len(value)}"
    text = repr(value) if not isinstance(value, int) or abs(value) <= _LARGEST else "an integer of more than 64 bits"
    return text if len(text) <= 60 else f"{text[:60]}..."
