"""Normalisations as linear maps: what is normalised is multiplied by a scale, and shifted, channel by channel.

Once channels are gone, the mean and variance that a layer divides by are others: so its scale and shift are fitted,
which is least squares of `y = a * x + b` for each channel.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.graph.duplicate import duplicate
from keras_prune.graph.leaf_layers import InferenceBatchNormalization
from keras_prune.reconstruction.views.linear_view import LinearView, as_float, picked


class Scale(LinearView):
    """The scale of a normalisation: each of its entries is a group of one input, the normalised values of its channel.

    Args:
        layer: The layer, built.
        name: The name of its scale.
        axes: The axes of its inputs that the scale lies along.
    """

    def __init__(self, layer: Any, name: str, axes: Sequence[int]):
        bias = getattr(layer, "beta", None)
        super().__init__(layer, name, bias, int(np.prod(getattr(layer, name).shape)))
        self._axes = tuple(axes)
        self._normalize = _without_scale(layer, name)

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return self.rows(ops.convert_to_numpy(self._normalize(ops.convert_to_tensor(inputs))), places)

    def rows(self, outputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        axes = [axis % outputs.ndim for axis in self._axes]
        values = np.moveaxis(as_float(outputs), axes, range(len(axes))).reshape(self.groups, -1, 1)
        return picked(values, len(outputs), places)

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        return np.asarray(self._values(values)).reshape(self.groups, 1, 1)


def _without_scale(layer: Any, name: str) -> Callable[[Any], Any]:
    """The same layer with a scale of one and no shift."""
    copy: Any = duplicate(layer)
    getattr(copy, name).assign(np.ones(getattr(layer, name).shape))
    if getattr(copy, "beta", None) is not None:
        copy.beta.assign(np.zeros(copy.beta.shape))
    return lambda inputs: copy(inputs, training=False) if _is_batch_norm(copy) else copy(inputs)


def _is_batch_norm(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def scale_views(layer: keras.Layer) -> list[LinearView]:
    """The scale of a layer that normalises; none of other layers, and of those without a scale.

    Args:
        layer: A built layer.
    """
    name = _SCALES.get(_keras.class_that_computes(type(layer)))
    if name is None or getattr(layer, name, None) is None or getattr(layer, "rms_scaling", False):
        return []
    axis: Any = getattr(layer, "axis", -1)
    return [Scale(layer, name, [axis] if isinstance(axis, int) else list(axis))]


_SCALES: dict[type, str] = {
    keras.layers.BatchNormalization: "gamma",
    InferenceBatchNormalization: "gamma",
    keras.layers.LayerNormalization: "gamma",
    keras.layers.GroupNormalization: "gamma",
}
if hasattr(keras.layers, "RMSNormalization"):  # Keras 3.9 and later
    _SCALES[keras.layers.RMSNormalization] = "scale"
