"""The one table behind structured pruning: which axis of which weight belongs to which channels."""

import dataclasses
from typing import Literal

import keras
import numpy as np

Role = Literal["out", "in", "through"]


@dataclasses.dataclass(frozen=True, eq=False)
class Binding:
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
    """

    layer: str
    kind: str
    name: str
    weight: keras.Variable
    axis: int
    labels: np.ndarray
    role: Role

    @property
    def makes(self) -> bool:
        """Whether these are the weights that make the channel, biases apart: a filter, a column of a matrix."""
        return self.role == "out" and len(self.weight.shape) > 1 and not self.name.endswith("bias")

    def slices(self) -> np.ndarray:
        """The weights as a matrix: one row for each position along the axis; in float32 at least."""
        values = keras.ops.convert_to_numpy(self.weight.value)
        if values.dtype.itemsize < 4:  # squares of half precision overflow
            values = values.astype(np.float32)
        return np.moveaxis(values, self.axis, 0).reshape(values.shape[self.axis], -1)
