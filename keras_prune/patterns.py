"""Patterns that choose layers: by name, by class, or by a function."""

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

Predicate = Callable[[str, keras.Layer], bool]


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern such as `"conv*"` matches a layer's path, or its name, the last part of the path.

    One that begins with a slash, as `"/conv*"`, matches the path only.

    The names of a model that was written out (`expand`) tell where a layer was, with double underscores since Keras
    allows no slash in names: a pattern may have slashes there.
    """
    if "__" in path and matches(pattern, path.replace("__", "/")):
        return True
    if pattern.startswith("/"):
        return fnmatch.fnmatchcase(path, pattern[1:])
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path.rsplit("/", 1)[-1], pattern)


def exact_pattern(path: str, paths: Iterable[str]) -> str:
    """A pattern that matches this path and no other one of `paths`: the path itself, where that suffices."""
    pattern = re.sub(r"([*?[])", r"[\1]", path)
    others = [other for other in paths if other != path]
    return f"/{pattern}" if any(matches(pattern, other) for other in others) else pattern


def check_patterns(patterns: Iterable[str], paths: Sequence[str], argument: str) -> None:
    """Raises a `ValueError`, which names the near misses, for each pattern that matches no path."""
    for pattern in patterns:
        if any(matches(pattern, path) for path in paths):
            continue
        near = difflib.get_close_matches(pattern, [*paths, *{path.rsplit("/", 1)[-1] for path in paths}], cutoff=0.4)
        near = list(dict.fromkeys(near))
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Its layers are {list(paths)}."
        raise ValueError(f"`{argument}` names a layer that the model does not have. {hint} Received: {pattern!r}")


def as_predicate(layers: Any, paths: Sequence[str]) -> Predicate:
    """Turns the argument `layers` into a function of path and layer.

    Args:
        layers: None (all layers), a name pattern, a layer class, a function `layer -> bool`, or a list of these.
        paths: The paths of the model's layers, to check patterns against.

    Raises:
        ValueError: A pattern matches no layer.
        TypeError: Something else was passed.
    """
    if layers is None:
        return lambda path, layer: True
    choices = list(layers) if isinstance(layers, list | tuple | set) else [layers]
    for choice in choices:
        if not (isinstance(choice, str) or callable(choice)) or isinstance(choice, keras.Layer):  # layers are callable
            raise TypeError(
                "`layers` must be a name pattern, a layer class, a function `layer -> bool`, or a list of these. "
                f"Received: {choice!r}"
            )
    check_patterns([choice for choice in choices if isinstance(choice, str)], paths, "layers")
    return lambda path, layer: any(_chosen(choice, path, layer) for choice in choices)


def _chosen(choice: Any, path: str, layer: keras.Layer) -> bool:
    if isinstance(choice, str):
        return matches(choice, path)
    if isinstance(choice, type):
        return isinstance(layer, choice)
    return bool(choice(layer))
