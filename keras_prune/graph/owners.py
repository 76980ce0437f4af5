"""`Owners`: which layer holds each weight, where two layers may not hold one."""

from collections.abc import Iterable

import keras


class Owners:
    """The layer that holds each weight, where only one may.

    Args:
        rule: What the message says of two layers that hold the same weight. Defaults to: copies would not share it.
    """

    def __init__(
        self,
        rule: str = "A weight must belong to one layer of the graph: copies of two would no longer share it. Call one "
        "layer twice instead.",
    ) -> None:
        self._rule = rule
        self._paths: dict[int, str] = {}

    def add(self, path: str, weights: Iterable[keras.Variable]) -> None:
        """Note the weights of the layer at `path`.

        Raises:
            ValueError: Another layer holds one of them too.
        """
        for weight in weights:
            owner = self._paths.setdefault(id(weight), path)
            if owner != path:
                raise ValueError(f"{self._rule} Received: '{weight.path}', which '{owner}' and '{path}' hold")
