"""The kernels of a Keras model: where they hold zeros, and whether their values are shared."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite_export.keras_models.signature import layers_of

if TYPE_CHECKING:
    import keras

_NAMES = ("kernel", "embeddings")  # endings of the names of prunable weights
_SHARED = 256  # a kernel with no more values than this shares them
_EACH = 4  # ... if so many of its non-zeros, or more, come on each value


@dataclass(frozen=True)
class Kernel:
    """Kernel or embedding of a model.

    Attributes:
        layer: The name of its layer.
        values: Its values, as Keras has them.
        dense: Whether it is that of a Dense layer, which LiteRT runs as FULLY_CONNECTED.
        pointwise: Whether it is that of a 1x1 convolution that reads each pixel once.
    """

    layer: str
    values: np.ndarray[Any, np.dtype[Any]]
    dense: bool
    pointwise: bool = False

    @property
    def zeros(self) -> int:
        """The number of values that are zero."""
        return int(self.values.size - np.count_nonzero(self.values))

    @property
    def sparsity(self) -> float:
        """The fraction that is zero."""
        return self.zeros / max(1, self.values.size)

    @property
    def distinct(self) -> int:
        """The number of distinct values."""
        return len(np.unique(self.values))

    @property
    def is_shared(self) -> bool:
        """Whether few values stand for many, as after `keras_prune.cluster_weights`."""
        values = self.values[self.values != 0]  # zeros are alike in any pruned kernel
        if len(np.unique(values[: 4 * _SHARED])) > _SHARED:  # quick for most kernels, which share nothing
            return False
        return 0 < len(np.unique(values)) <= min(_SHARED, values.size // _EACH)

    def zero_blocks(self, width: int) -> float:
        """The fraction of zeros in whole blocks of `width` inputs, of a Dense kernel: 1 if all zeros are in such."""
        inputs = self.values.shape[0]
        if not self.dense or inputs % width or not self.zeros:
            return 0.0
        blocks = self.values.reshape(inputs // width, width, -1)
        return float((~blocks.any(axis=1)).sum() * width / self.zeros)


def kernels_of(model: "keras.Model") -> list[Kernel]:
    """All kernels of a model, each once."""
    import keras

    found: dict[int, Kernel] = {}
    for layer in [*layers_of(model), model]:
        for variable in layer.weights:
            if variable.name.endswith(_NAMES) and len(variable.shape) > 1 and id(variable) not in found:
                dense = type(layer) is keras.layers.Dense
                values = keras.ops.convert_to_numpy(variable.value)
                found[id(variable)] = Kernel(layer.name, values, dense, _is_pointwise(layer))
    return list(found.values())


def _is_pointwise(layer: "keras.Layer") -> bool:
    import keras

    if type(layer) is not keras.layers.Conv2D or layer.data_format != "channels_last":
        return False
    return {*layer.kernel_size, *layer.strides, *layer.dilation_rate, layer.groups} == {1}
