"""Which weights of a layer are linear maps: a short function for each kind of layer, found by the class."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.reconstruction.views.convolution_views import Convolution, Depthwise, Pointwise, Transposed
from keras_prune.reconstruction.views.linear_view import LinearView, as_float, picked
from keras_prune.reconstruction.views.recurrent_views import cell_views, gru_views


def linear_views(layer: keras.Layer) -> list[LinearView]:
    """The weights that a layer itself holds and multiplies its inputs by, as matrices; those of its sublayers are not
    among them.

    Args:
        layer: A built layer, cell or projection.

    Returns:
        A view of each weight; none where the kind of the layer is unknown.
    """
    found = _KINDS.get(_keras.class_that_computes(type(layer)))  # a subclass may compute anything
    return [] if found is None else found(layer)


class _Einsum(LinearView):
    """A product that an equation describes: letters that all three have are groups.

    Args:
        layer: An `EinsumDense`, or another layer that holds the weight.
        given: The letters of its inputs.
        kernel: Those of its weight.
        made: Those of its outputs.
        name: The name of the weight.
        bias: The bias that is added.
    """

    def __init__(self, layer: Any, given: str, kernel: str, made: str, name: str, bias: Any):
        self._given, self._kernel, self._made = given, kernel, made
        shared = [letter for letter in kernel if letter in given and letter in made]
        inputs = [letter for letter in kernel if letter in given and letter not in made]
        outputs = [letter for letter in kernel if letter not in given]
        self._own = "".join(shared), "".join(inputs), "".join(outputs)
        sizes = dict(zip(kernel, getattr(layer, name).shape, strict=True))
        self._sizes = sizes
        super().__init__(layer, name, bias, math.prod(sizes[letter] for letter in shared))

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return picked(self._as_rows(as_float(inputs), self._given, self._own[1]), len(inputs), places)

    def rows(self, outputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return picked(self._as_rows(as_float(outputs), self._made, self._own[2]), len(outputs), places)

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


def _bias(layer: Any) -> Any:
    return layer.bias if getattr(layer, "use_bias", False) else None


def _dense(layer: Any) -> list[LinearView]:
    return [LinearView(layer, "kernel", layer.bias)]


def _convolution(layer: Any) -> list[LinearView]:
    return [Convolution(layer, "kernel", _bias(layer), layer.groups)]


def _transposed(layer: Any) -> list[LinearView]:
    return [Transposed(layer, "kernel", _bias(layer))]


def _depthwise(layer: Any) -> list[LinearView]:
    return [Depthwise(layer, "kernel", _bias(layer), layer.kernel.shape[-2])]


def _separable(layer: Any) -> list[LinearView]:
    first = Depthwise(layer, "depthwise_kernel", None, layer.depthwise_kernel.shape[-2], internal=True)
    return [first, Pointwise(layer, "pointwise_kernel", _bias(layer))]


def _einsum(layer: Any) -> list[LinearView]:
    axes = None if layer.bias is None else layer.bias_axes
    view = view_of_equation(layer, layer.equation, "kernel", layer.bias, axes)
    return [] if view is None else [view]


def view_of_equation(layer: Any, equation: str, name: str, bias: Any, bias_axes: str | None) -> LinearView | None:
    """A weight that is multiplied as `einsum` does; None if that is no product of matrices.

    Args:
        layer: The layer that holds it.
        equation: That of the inputs and the weight.
        name: The name of the weight.
        bias: What is added to the products, None if there is nothing.
        bias_axes: The letters of the bias.
    """
    given, made = equation.replace(" ", "").split("->")
    read, kernel = given.split(",")
    plain = read.replace("...", ""), kernel, made.replace("...", "")
    repeated = any(len(set(letters)) < len(letters) for letters in plain)
    lost = set(plain[0]) - set(kernel) - set(plain[2]) or set(kernel) - set(plain[0]) - set(plain[2])
    own_bias = bias is None or set(bias_axes or "") == {each for each in kernel if each in plain[2]}
    if repeated or lost or "..." in kernel or not own_bias or (read.count(".") != made.count(".")):
        return None
    return _Einsum(layer, read, kernel, made, name, bias)


_KINDS: dict[type, Callable[[Any], list[LinearView]]] = {
    keras.layers.Dense: _dense,
    keras.layers.EinsumDense: _einsum,
    keras.layers.SimpleRNNCell: cell_views,
    keras.layers.LSTMCell: cell_views,
    keras.layers.GRUCell: gru_views,
}
for _cls in (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D):
    _KINDS[_cls] = _convolution
for _cls in (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose):
    _KINDS[_cls] = _transposed
for _cls in (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D):
    _KINDS[_cls] = _depthwise
for _cls in (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D):
    _KINDS[_cls] = _separable
