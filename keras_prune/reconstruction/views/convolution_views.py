"""Convolutions as linear maps: they multiply what their window sees, place by place.

The channels of a depthwise convolution are groups of one.
"""

from typing import Any

import numpy as np
from keras import ops

from keras_prune.reconstruction.views.columns import patches, transposed_patches
from keras_prune.reconstruction.views.linear_view import LinearView, as_float, picked


class Convolution(LinearView):
    """A convolution of any rank, with groups."""

    by_position = False  # a window sees several

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        seen = self._seen(self._channels_last(as_float(inputs)), places)
        *_, window, channels = seen.shape
        parts = seen.reshape(-1, window, self.groups, channels // self.groups)
        return np.moveaxis(parts, 2, 0).reshape(self.groups, len(parts), -1)

    def rows(self, outputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return picked(self._grouped(self._channels_last(as_float(outputs))), len(outputs), places)

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        values = self._values(values)
        cube = values.reshape(-1, self.groups, values.shape[-1] // self.groups)
        return np.moveaxis(cube, 1, 0)

    def weights(self, matrices: np.ndarray) -> np.ndarray:
        return np.moveaxis(matrices, 0, 1).reshape(self.weight.shape)

    def _seen(self, values: np.ndarray, places: np.ndarray | None) -> np.ndarray:
        layer: Any = self.layer
        size, steps = tuple(self.weight.shape[:-2]), tuple(layer.strides)
        if len(steps) < len(size):  # of a separable convolution
            steps *= len(size)
        return patches(values, size, steps, tuple(layer.dilation_rate), layer.padding, places)

    def _channels_last(self, values: np.ndarray) -> np.ndarray:
        """Of shape (samples, *places, channels): the groups that `input_hooks` sets apart are joined, and so are the
        steps of a sequence with its samples."""
        layer: Any = self.layer
        rank = len(self.weight.shape) - 2
        first = layer.data_format == "channels_first"
        if self.name == "kernel" and self.groups > 1 and values.ndim == rank + 3:
            axis = 1 if first else values.ndim - 2
            values = values.reshape(*values.shape[:axis], -1, *values.shape[axis + 2 :])
        values = values.reshape(-1, *values.shape[values.ndim - rank - 1 :])
        return np.moveaxis(values, 1, -1) if first else values


class Transposed(Convolution):
    """A transposed convolution: its kernel has the outputs before the inputs."""

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        return super().matrices(np.swapaxes(self._values(values), -1, -2))

    def weights(self, matrices: np.ndarray) -> np.ndarray:
        *window, outputs, inputs = self.weight.shape
        return np.swapaxes(matrices[0].reshape(*window, inputs, outputs), -1, -2)

    def _seen(self, values: np.ndarray, places: np.ndarray | None) -> np.ndarray:
        seen = transposed_patches(values, tuple(self.weight.shape[:-2]), self._convolve)
        return seen if places is None else seen[:, places]

    def _convolve(self, values: Any, kernel: np.ndarray) -> Any:
        layer: Any = self.layer
        return ops.conv_transpose(
            values,
            kernel,
            strides=list(layer.strides),
            padding=layer.padding,
            output_padding=layer.output_padding,
            dilation_rate=layer.dilation_rate,
            data_format="channels_last",
        )


class Depthwise(Convolution):
    """A depthwise convolution: each channel is a group of one input."""

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        values = self._values(values)
        *_, channels, multiplier = values.shape
        return np.moveaxis(values.reshape(-1, channels, multiplier), 1, 0)


class Pointwise(Convolution):
    """The second part of a separable convolution: its inputs are what the first part gives."""

    def _seen(self, values: np.ndarray, places: np.ndarray | None) -> np.ndarray:
        values = values.reshape(len(values), -1, 1, values.shape[-1])
        return values if places is None else values[:, places]
