"""`Owners`: which layer holds each weight, where only copies that are made together may hold one twice."""

import types
from collections.abc import Iterable
from typing import Any

import keras


class Owners:
    """The layers that hold each weight of a model that is copied."""

    def __init__(self) -> None:
        self._paths: dict[int, tuple[str, bool]] = {}

    def add(self, path: str, weights: Iterable[keras.Variable], together: bool) -> None:
        """Note the weights of the layer at `path`.

        Args:
            path: The path.
            weights: Its weights.
            together: Whether its copy holds what the copies of other layers hold, where the layers do.

        Raises:
            ValueError: Another layer holds one of them too, and their copies would not share it.
        """
        for weight in weights:
            owner, owned_together = self._paths.setdefault(id(weight), (path, together))
            if owner != path and not (together and owned_together):
                raise ValueError(
                    f"Copies of two layers share a weight only if both can be copied as they are, and '"
                    f"{owner if together else path}' is made from its configuration. Call one layer twice instead. "
                    f"Received: '{weight.path}', which '{owner}' and '{path}' hold"
                )


def held_variables(operation: Any) -> list[keras.Variable]:
    """The variables of an operation, and those that a function of it uses, such as that of a `Lambda`."""
    found = list(getattr(operation, "variables", ()))
    for function in vars(operation).values() if isinstance(operation, keras.Layer) else ():
        for cell in getattr(function, "__closure__", None) or () if isinstance(function, types.FunctionType) else ():
            try:
                held = cell.cell_contents
            except ValueError:  # not yet assigned
                continue
            found += (
                [held] if isinstance(held, keras.Variable) else held.variables if isinstance(held, keras.Layer) else []
            )
    return list({id(variable): variable for variable in found}.values())
