"""Layouts: how the weight of each kind of layer is a matrix of inputs and outputs.

N:M patterns, blocks, per-layer sparsities and criteria that multiply weights by their inputs all need this.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from keras_prune.selection.layout import Axes, default_axes


def find_axes(layer: keras.Layer, name: str, rank: int) -> Axes:
    """The axes of a weight of a layer.

    Args:
        layer: The layer or sublayer that holds the weight itself.
        name: Name of the weight in it: `"kernel"`.
        rank: Number of axes of the weight.
    """
    for cls in type(layer).__mro__:
        found = _KINDS.get((cls, name))
        if found is not None:
            return found(layer, rank)
    return default_axes(rank)


def _dense(layer: Any, rank: int) -> Axes:
    return Axes((), (0,), (1,), ((0, -1),))


def _channel_axis(layer: Any, window: int) -> int:
    return -1 if layer.data_format == "channels_last" else -1 - window


def _convolution(layer: Any, rank: int) -> Axes:
    found = _all_channels(layer, rank)
    if layer.groups == 1:
        return found
    ((inputs, channels),) = found.reads
    return dataclasses.replace(found, reads=((inputs, channels), (inputs + 1, channels - 1)))  # groups by channels


def _transposed(layer: Any, rank: int) -> Axes:
    window = rank - 2
    return Axes(tuple(range(window)), (window + 1,), (window,), ((window + 1, _channel_axis(layer, window)),))


def _depthwise(layer: Any, rank: int) -> Axes:
    """Only the places in the window are summed: each channel has its own outputs."""
    window = rank - 2
    return Axes((), tuple(range(window)), (window, window + 1), ((window, _channel_axis(layer, window)),))


def _all_channels(layer: Any, rank: int) -> Axes:
    """The inputs of a separable convolution's second part are the outputs of the first; of ConvLSTM, the states too."""
    window = rank - 2
    return Axes(tuple(range(window)), (window,), (window + 1,), ((window, _channel_axis(layer, window)),))


def _embedding(layer: Any, rank: int) -> Axes:
    """The inputs are integers, taken as one-hot vectors over the vocabulary."""
    return Axes((), (0,), (1,), ((0, -1),))


def _gated(layer: Any, rank: int) -> Axes:
    """If the state is reset before it is multiplied, the input of the last of the three gates is another one."""
    found = _dense(layer, rank)
    return found if layer.reset_after else dataclasses.replace(found, reads=((0, -1), (1, -2)))


def _einsum(layer: Any, rank: int) -> Axes:
    given, made = layer.equation.replace(" ", "").split("->")
    read, kernel = given.split(",")
    read, made = read.replace("...", ""), made.replace("...", "")
    summed = tuple(axis for axis, letter in enumerate(kernel) if letter not in made)
    others = tuple(axis for axis in range(rank) if axis not in summed)
    reads = tuple((axis, read.index(letter) - len(read)) for axis, letter in enumerate(kernel) if letter in read)
    return Axes((), summed, others, reads) if summed else Axes((), others, (), reads)


_KINDS: dict[tuple[type, str], Callable[[Any, int], Axes]] = {
    (keras.layers.Dense, "kernel"): _dense,
    (keras.layers.EinsumDense, "kernel"): _einsum,
    (keras.layers.Embedding, "embeddings"): _embedding,
}
if hasattr(keras.layers, "ReversibleEmbedding"):
    _KINDS[keras.layers.ReversibleEmbedding, "reverse_embeddings"] = _dense
for _cls in (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D):
    _KINDS[_cls, "kernel"] = _convolution
for _cls in (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose):
    _KINDS[_cls, "kernel"] = _transposed
for _cls in (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D):
    _KINDS[_cls, "kernel"] = _depthwise
for _cls in (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D):
    _KINDS[_cls, "depthwise_kernel"], _KINDS[_cls, "pointwise_kernel"] = _depthwise, _all_channels
for _cls in (keras.layers.SimpleRNNCell, keras.layers.LSTMCell, keras.layers.GRUCell):
    _KINDS[_cls, "kernel"] = _KINDS[_cls, "recurrent_kernel"] = _dense
_KINDS[keras.layers.GRUCell, "recurrent_kernel"] = _gated
for _cls in (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D):
    _KINDS[_cls, "kernel"] = _KINDS[_cls, "recurrent_kernel"] = _all_channels
