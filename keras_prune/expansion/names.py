"""Names of the layers and operations of a written-out model: where each came from."""

import re
from typing import Any

SEPARATOR = "__"  # in names Keras allows no slash, and torch no dot


class Names:
    """Gives each operation a name of its own: the layers around it, and the operation's. Likewise for weights."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, path: tuple[str, ...], own: str) -> str:
        """Return a name that nothing has yet.

        Args:
            path: The names of the custom layers around it.
            own: Its own name.
        """
        name = SEPARATOR.join([*path, own])
        number, free = 1, name
        while free in self._given:
            number += 1
            free = f"{name}_{number}"
        self._given.add(free)
        return free


def name_of_operation(operation: Any) -> str:
    """The name of a `keras.ops` operation without the number that Keras gave it: `"add"`, `"layer_norm"`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(operation).__name__)
    return words.lower()
