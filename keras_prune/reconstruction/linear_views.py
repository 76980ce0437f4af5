"""Layers as linear maps: for each weight that multiplies inputs, the matrices, and the rows that they multiply.

A convolution multiplies what its window sees, place by place; groups of channels, and the channels of a depthwise
convolution, are matrices side by side that read different columns. So every weight is an array of shape
(groups, inputs, outputs), its inputs one of shape (groups, rows, inputs), and what it gives (groups, rows, outputs).
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.reconstruction.columns import patches, transposed_patches


class LinearView:
    """A weight that multiplies the last axis of its inputs, as that of `Dense` does; other kinds derive from it.

    Args:
        layer: The layer that holds it, such as a cell or a projection of attention.
        name: Its name there: `"kernel"`.
        bias: The bias that is added to the products, None if there is none. Defaults to None.
        groups: Number of matrices. Defaults to 1.
        internal: Whether its products are not the outputs of the layer before its activation, but something inside of
            it. Defaults to False.
    """

    def __init__(
        self,
        layer: keras.Layer,
        name: str,
        bias: keras.Variable | None = None,
        groups: int = 1,
        internal: bool = False,
    ):
        self.layer, self.name, self.bias, self.groups, self.internal = layer, name, bias, groups, internal
        self.weight: keras.Variable = getattr(layer, name)

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        """The inputs of the weight as rows: array of shape (groups, rows, inputs).

        Args:
            inputs: What the layer is called with, or the input of the weight that `input_hooks` records.
            places: Which rows of each sample are asked for. Defaults to None: all of them.
        """
        return _picked(_float(inputs).reshape(1, -1, inputs.shape[-1]), len(inputs), places)

    def rows(self, outputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        """Products, in the shape in which the layer has them, as rows: array of shape (groups, rows, outputs)."""
        return _picked(self._grouped(_float(outputs)), len(outputs), places)

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        """The weight, or an array of its shape, of shape (groups, inputs, outputs)."""
        return np.asarray(self._values(values))[None]

    def weights(self, matrices: np.ndarray) -> np.ndarray:
        """An array in the shape of the weight: undoes `matrices`."""
        return matrices.reshape(self.weight.shape)

    def offsets(self) -> np.ndarray:
        """The bias, of shape (groups, outputs)."""
        assert self.bias is not None
        return _keras.as_numpy(self.bias).reshape(self.groups, -1)

    def biases(self, offsets: np.ndarray) -> np.ndarray:
        """An array in the shape of the bias: undoes `offsets`."""
        assert self.bias is not None
        return offsets.reshape(self.bias.shape)

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """The products with these columns, the bias included: array of shape (groups, rows, outputs)."""
        products = columns @ self.matrices()
        return products if self.bias is None else products + self.offsets()[:, None]

    def _values(self, values: np.ndarray | None) -> np.ndarray:
        return _keras.as_numpy(self.weight) if values is None else values

    def _grouped(self, values: np.ndarray) -> np.ndarray:
        """Rows whose last axis holds the groups one after the other."""
        return np.moveaxis(values.reshape(-1, self.groups, values.shape[-1] // self.groups), 1, 0)


def linear_views(layer: keras.Layer) -> list[LinearView]:
    """The weights that a layer itself holds and multiplies its inputs by, as matrices; those of its sublayers are not
    among them.

    Args:
        layer: A built layer, cell or projection.

    Returns:
        A view of each weight; none where the kind of the layer is unknown.
    """
    for cls in type(layer).__mro__:
        if cls in _KINDS:
            return _KINDS[cls](layer)
    return []


class _Convolution(LinearView):
    """A convolution of any rank, with groups."""

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        seen = self._seen(self._channels_last(_float(inputs)), places)
        *_, window, channels = seen.shape
        parts = seen.reshape(-1, window, self.groups, channels // self.groups)
        return np.moveaxis(parts, 2, 0).reshape(self.groups, len(parts), -1)

    def rows(self, outputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return _picked(self._grouped(self._channels_last(_float(outputs))), len(outputs), places)

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


class _Transposed(_Convolution):
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


class _Depthwise(_Convolution):
    """A depthwise convolution: each channel is a group of one input."""

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        values = self._values(values)
        *_, channels, multiplier = values.shape
        return np.moveaxis(values.reshape(-1, channels, multiplier), 1, 0)


class _Pointwise(_Convolution):
    """The second part of a separable convolution: its inputs are what the first part gives."""

    def _seen(self, values: np.ndarray, places: np.ndarray | None) -> np.ndarray:
        values = values.reshape(len(values), -1, 1, values.shape[-1])
        return values if places is None else values[:, places]


class _Einsum(LinearView):
    """A product that an equation describes: letters that all three have are groups.

    Args:
        layer: An `EinsumDense`.
        given: The letters of its inputs.
        kernel: Those of its weight.
        made: Those of its outputs.
    """

    def __init__(self, layer: Any, given: str, kernel: str, made: str):
        self._given, self._kernel, self._made = given, kernel, made
        shared = [letter for letter in kernel if letter in given and letter in made]
        inputs = [letter for letter in kernel if letter in given and letter not in made]
        outputs = [letter for letter in kernel if letter not in given]
        self._own = "".join(shared), "".join(inputs), "".join(outputs)
        sizes = dict(zip(kernel, layer.kernel.shape, strict=True))
        self._sizes = sizes
        super().__init__(layer, "kernel", layer.bias, math.prod(sizes[letter] for letter in shared))

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return _picked(self._as_rows(_float(inputs), self._given, self._own[1]), len(inputs), places)

    def rows(self, outputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return _picked(self._as_rows(_float(outputs), self._made, self._own[2]), len(outputs), places)

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        order = "".join(self._own)
        values = np.transpose(self._values(values), [self._kernel.index(letter) for letter in order])
        return values.reshape(self.groups, -1, math.prod(self._sizes[letter] for letter in self._own[2]))

    def weights(self, matrices: np.ndarray) -> np.ndarray:
        order = "".join(self._own)
        values = matrices.reshape([self._sizes[letter] for letter in order])
        return np.transpose(values, [order.index(letter) for letter in self._kernel])

    def offsets(self) -> np.ndarray:
        assert self.bias is not None
        letters, order = self._bias_letters(), self._own[0] + self._own[2]
        values = _keras.as_numpy(self.bias).reshape([self._sizes[letter] for letter in letters])
        return np.transpose(values, [letters.index(letter) for letter in order]).reshape(self.groups, -1)

    def biases(self, offsets: np.ndarray) -> np.ndarray:
        assert self.bias is not None
        letters, order = self._bias_letters(), self._own[0] + self._own[2]
        values = offsets.reshape([self._sizes[letter] for letter in order])
        return np.transpose(values, [order.index(letter) for letter in letters]).reshape(self.bias.shape)

    def _bias_letters(self) -> str:
        return "".join(letter for letter in self._made if letter in self._own[0] + self._own[2])

    def _as_rows(self, values: np.ndarray, letters: str, last: str) -> np.ndarray:
        free = values.ndim - len(letters.replace("...", ""))
        letters = letters.replace("...", "ABCDEFGH"[:free])
        rows = [letter for letter in letters if letter not in self._kernel]
        if letters is not self._given:  # in the order that the inputs have them
            given = self._given.replace("...", "ABCDEFGH"[:free])
            rows.sort(key=given.index)
        values = np.transpose(values, [letters.index(letter) for letter in (*self._own[0], *rows, *last)])
        width = math.prod(self._sizes[letter] for letter in last)
        return values.reshape(self.groups, -1, width)


class _Gated(LinearView):
    """What multiplies the inputs of a GRU, whose bias may have a row for the states too."""

    def offsets(self) -> np.ndarray:
        assert self.bias is not None
        return _keras.as_numpy(self.bias).reshape(-1, self.weight.shape[-1])[:1]

    def biases(self, offsets: np.ndarray) -> np.ndarray:
        assert self.bias is not None
        values = np.array(_keras.as_numpy(self.bias), offsets.dtype).reshape(-1, self.weight.shape[-1])
        values[0] = offsets
        return values.reshape(self.bias.shape)


class _Reset(LinearView):
    """What multiplies the states of a GRU that resets them before: its three gates read different ones."""

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return _picked(np.moveaxis(_float(inputs).reshape(-1, 3, inputs.shape[-1]), 1, 0), len(inputs), places)

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        values = self._values(values)
        return np.moveaxis(values.reshape(len(values), 3, -1), 1, 0)

    def weights(self, matrices: np.ndarray) -> np.ndarray:
        return np.moveaxis(matrices, 0, 1).reshape(self.weight.shape)


def _picked(rows: np.ndarray, samples: int, places: np.ndarray | None) -> np.ndarray:
    """These rows of each sample."""
    if places is None:
        return rows
    groups, _, width = rows.shape
    return rows.reshape(groups, samples, -1, width)[:, :, places].reshape(groups, -1, width)


def _float(values: np.ndarray) -> np.ndarray:
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)


def _bias(layer: Any) -> Any:
    return layer.bias if getattr(layer, "use_bias", False) else None


def _dense(layer: Any) -> list[LinearView]:
    return [LinearView(layer, "kernel", layer.bias)]


def _convolution(layer: Any) -> list[LinearView]:
    return [_Convolution(layer, "kernel", _bias(layer), layer.groups)]


def _transposed(layer: Any) -> list[LinearView]:
    return [_Transposed(layer, "kernel", _bias(layer))]


def _depthwise(layer: Any) -> list[LinearView]:
    return [_Depthwise(layer, "kernel", _bias(layer), layer.kernel.shape[-2])]


def _separable(layer: Any) -> list[LinearView]:
    first = _Depthwise(layer, "depthwise_kernel", None, layer.depthwise_kernel.shape[-2], internal=True)
    return [first, _Pointwise(layer, "pointwise_kernel", _bias(layer))]


def _einsum(layer: Any) -> list[LinearView]:
    given, made = layer.equation.replace(" ", "").split("->")
    read, kernel = given.split(",")
    plain = read.replace("...", ""), kernel, made.replace("...", "")
    repeated = any(len(set(letters)) < len(letters) for letters in plain)
    lost = set(plain[0]) - set(kernel) - set(plain[2]) or set(kernel) - set(plain[0]) - set(plain[2])
    own_bias = layer.bias is None or set(layer.bias_axes) == {each for each in kernel if each in plain[2]}
    if repeated or lost or "..." in kernel or not own_bias or (read.count(".") != made.count(".")):
        return []
    return [_Einsum(layer, read, kernel, made)]


def _cell(layer: Any) -> list[LinearView]:
    return [
        LinearView(layer, "kernel", _bias(layer), internal=True),
        LinearView(layer, "recurrent_kernel", internal=True),
    ]


def _gru(layer: Any) -> list[LinearView]:
    states = LinearView if layer.reset_after else _Reset
    groups = 1 if layer.reset_after else 3
    return [
        _Gated(layer, "kernel", _bias(layer), internal=True),
        states(layer, "recurrent_kernel", groups=groups, internal=True),
    ]


_KINDS: dict[type, Callable[[Any], list[LinearView]]] = {
    keras.layers.Dense: _dense,
    keras.layers.EinsumDense: _einsum,
    keras.layers.SimpleRNNCell: _cell,
    keras.layers.LSTMCell: _cell,
    keras.layers.GRUCell: _gru,
}
for _cls in (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D):
    _KINDS[_cls] = _convolution
for _cls in (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose):
    _KINDS[_cls] = _transposed
for _cls in (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D):
    _KINDS[_cls] = _depthwise
for _cls in (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D):
    _KINDS[_cls] = _separable
