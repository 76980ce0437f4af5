"""`Binding`: which channel each position along an axis of a weight belongs to. The table behind structured pruning."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from keras_prune import _keras
from tflite_export.reporting import Shown

Role = Literal["out", "in", "through"]


@dataclasses.dataclass(frozen=True, eq=False)
class Binding(Shown):
    """One axis of one weight, and the channel at each of its positions.

    Args:
        layer: Path of the layer: `"conv1"`, or `"encoder/conv1"` in a nested model.
        kind: Name of the layer's class.
        name: Name of the weight in its layer: `"kernel"`, or `"query/kernel"` of a sublayer.
        weight: The variable.
        axis: The axis of the weight.
        labels: The atom, or FIXED, at each position along that axis.
        role: `"out"`: these weights make the channel. `"in"`: they read it; with zeros here the channel has no effect.
            `"through"`: they belong to it and neither make nor read it (scales, depthwise kernels).
        mutes: Whether, with zeros here, the channel has no effect. True of what reads it, and of the one factor of a
            product of two channels that are removed together: the query's dimensions, multiplied by the key's.
        rescale: What the kept weights are multiplied by when the model is rebuilt, a function of `Kept`: the query's,
            since attention divides its scores by the root of the number of dimensions. Defaults to None: nothing.
    """

    layer: str
    kind: str
    name: str
    weight: keras.Variable
    axis: int
    labels: np.ndarray
    role: Role
    mutes: bool
    rescale: Callable[[Any], float] | None = None

    @property
    def makes(self) -> bool:
        """Whether these are the weights that make the channel, biases apart: a filter, a column of a matrix."""
        return self.role == "out" and len(self.weight.shape) > 1 and not self.name.endswith("bias")

    def slices(self) -> np.ndarray:
        """Return the weights as a matrix, only to be read: a row for each position along the axis; at least float32."""
        values = _keras.as_numpy(self.weight)
        if values.dtype.itemsize < 4:  # squares of half precision overflow
            values = values.astype(np.float32)
        return np.moveaxis(values, self.axis, 0).reshape(values.shape[self.axis], -1)
