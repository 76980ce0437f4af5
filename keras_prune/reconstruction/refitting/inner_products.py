"""A weight inside a layer: what it gives never leaves the layer, so its products in the original are the target."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_prune.reconstruction.normal_equations import NormalEquations
from keras_prune.reconstruction.views.linear_view import LinearView, WrappedView, picked


@dataclasses.dataclass(frozen=True, eq=False)
class KeptPlaces:
    """What the smaller model has of a weight of the original.

    Args:
        places: For each of its entries its place among those of the original (flat): an array of its shape.
        factor: What these were multiplied by, as a query is whose dimensions are fewer. Defaults to 1.0.
    """

    places: np.ndarray
    factor: float = 1.0

    def along(self, shape: tuple[int, ...], axis: int) -> np.ndarray:
        """The positions along an axis of the original's weight, which has this shape."""
        return np.unique(np.unravel_index(self.places, shape)[axis])


KeptOf = Callable[[keras.Variable], KeptPlaces]
"""What is kept of a weight of the original."""


def all_kept(variable: keras.Variable) -> KeptPlaces:
    """As `KeptOf`, of a model whose layers have all their channels."""
    shape = tuple(variable.shape)
    return KeptPlaces(np.arange(int(np.prod(shape))).reshape(shape))


class InnerProducts(WrappedView):
    """A view of a weight of the smaller model whose targets are products that `TargetProducts` has computed."""

    def rows(self, outputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return picked(np.moveaxis(outputs, 2, 0).reshape(self.groups, -1, outputs.shape[-1]), len(outputs), places)


class TargetProducts:
    """What a weight of the original makes of its inputs, as far as the smaller model has it.

    The bias is that of the smaller model: fitted, it takes the mean of what the others cannot.

    Args:
        original: The weight, in the original.
        small: The same weight in the smaller model.
        kept: What that has of it.
    """

    def __init__(self, original: LinearView, small: LinearView, kept: KeptPlaces):
        self._view, self._factor = original, kept.factor
        whole = original.matrices(np.arange(int(np.prod(original.weight.shape))).reshape(original.weight.shape))
        where = np.empty((whole.size, 2), int)
        groups, _, outputs = np.indices(whole.shape)
        where[whole.ravel()] = np.stack([groups.ravel(), outputs.ravel()], axis=1)
        self._groups, self._outputs = np.moveaxis(where[small.matrices(kept.places)[:, 0]], -1, 0)
        self._offsets = None if small.bias is None else np.array(small.offsets(), np.float64)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Array of shape (samples, places, groups, outputs)."""
        matrices = np.asarray(self._view.matrices(), np.float64)
        found: list[Any] = []
        for columns, _ in NormalEquations(self._view, intercept=False).chunks(inputs):
            products = columns @ matrices  # groups, rows, outputs
            found.append(np.moveaxis(products[self._groups, :, self._outputs], 2, 0) * self._factor)
        rows = np.concatenate(found)  # of all samples, one after the other
        rows = rows if self._offsets is None else rows + self._offsets
        return rows.reshape(len(inputs), -1, *rows.shape[1:])
