"""Which positions of what the layers of a model read count: not those of padding that reaches no output."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune.graph.stateful import states_untouched
from keras_prune.measurement.batches import as_inputs
from keras_prune.measurement.layer_inputs import Hook, input_hooks
from keras_prune.measurement.padding import find_unused_padding
from keras_prune.reconstruction.refitting.step_parts import Part

Counted = Sequence[np.ndarray | None]
"""For each batch a boolean array of the first axes of the inputs; None if all count."""


class CountedPositions:
    """The positions that count, by what the original makes of masks.

    Args:
        model: The original, a flat copy. It is called eagerly, once for each batch.
        parts: Weights of it.
        batches: As `Batches` gives them.
    """

    def __init__(self, model: keras.Model, parts: Iterable[Part], batches: Iterable[Any]):
        self._batches: list[dict[tuple[int, str], list[np.ndarray | None]]] = []
        hooks: dict[int, dict[str, Hook]] = {}
        for part in parts:
            key = id(part.recorder), part.view.name
            hooks.setdefault(key[0], {})[key[1]] = self._noting(key)
        unused: frozenset[int] | None = None
        for x, *_ in batches:
            inputs = as_inputs(model, x)
            unused = find_unused_padding(model, hooks, inputs) if unused is None else unused
            self._batches.append({})
            with states_untouched(model), input_hooks(model, hooks, unused):
                model(inputs, training=False)

    def of(self, part: Part) -> Counted:
        """Those of what a weight reads. Of several uses it is unknown which is which: there all count.

        Args:
            part: The weight, as it was passed.
        """
        found = [each.get((id(part.recorder), part.view.name), []) for each in self._batches]
        return [each[0] if len(each) == 1 else None for each in found]

    def _noting(self, key: tuple[int, str]) -> Hook:
        def note(given: np.ndarray, counted: np.ndarray | None) -> None:
            self._batches[-1].setdefault(key, []).append(counted)

        return note
