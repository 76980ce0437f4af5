"""Chance: the control that any importance must beat."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.measure.weights import SingleWeights


class Random:
    """Random scores.

    Args:
        seed: One number or several. The same scores for the same seed, from a new instance.
    """

    def __init__(self, seed: int | Sequence[int] | None = None):
        self._rng = np.random.default_rng(seed)

    def __call__(self, binding: "Binding | SingleWeights") -> np.ndarray | None:
        return self._rng.random(len(binding.slices())) if binding.makes else None
