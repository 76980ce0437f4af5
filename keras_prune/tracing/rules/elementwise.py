"""Operations on each entry alone: activations, arithmetic, merges, noise."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_prune import _keras
from keras_prune.tracing.constants import find_constants
from keras_prune.tracing.labels import Planes, has_channels
from keras_prune.tracing.rule_context import Kept, RuleContext, Unsupported
from keras_prune.tracing.rules.activations import apply_activation
from keras_prune.tracing.rules.axes import axes_of
from keras_prune.tracing.rules.broadcasting import join, operands
from keras_prune.tracing.rules.entrywise import OPERATIONS
from keras_prune.tracing.rules.registry import register_operation, register_rule

_LAYERS = "ReLU LeakyReLU ELU Identity ActivityRegularization AlphaDropout GaussianDropout GaussianNoise"
_MERGES = [layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply, layers.Subtract]


@register_rule(*(getattr(layers, name) for name in _LAYERS.split()))
@register_rule(*_keras.activation_classes("ReLU", "Mish"))  # what `keras.activations` calls on symbolic tensors
@register_operation(*OPERATIONS)
def elementwise(call: RuleContext) -> np.ndarray | Planes:
    return join(call, operands(call))


@register_rule(*_MERGES)
def merge(call: RuleContext) -> np.ndarray | Planes:
    """Unlike NumPy, these layers align tensors of different rank at the batch axis."""
    rank = len(call.output_shapes[0])
    wide = []
    for planes, shape in operands(call):
        ones = (1,) * (rank - len(shape))
        planes = [plane.reshape(plane.shape[:1] + ones + plane.shape[1:]) for plane in planes]
        wide.append((planes, (shape[0], *ones, *shape[1:])))
    return join(call, wide)


@register_rule(layers.Activation)
def activation(call: RuleContext) -> np.ndarray | Planes:
    for plane in call.planes(call.inputs[0]):
        apply_activation(call, call.operation.activation, plane)
    return call.move(call.inputs[0])


@register_rule(layers.Rescaling)
def rescaling(call: RuleContext) -> np.ndarray | Planes:
    """Its scale and offset are numbers, or arrays, which lose the entries of channels."""
    for key in ("scale", "offset"):
        values = np.asarray(getattr(call.operation, key))
        shape = values.shape
        if key == "scale" and shape and keras.config.image_data_format() == "channels_first":
            shape += (1,) * (3 - len(shape))  # as Keras reads it
        cuts = {}
        for axis, channels in (call.along_axes(call.inputs[0]) if shape else {}).items():
            place = axis - call.inputs[0].ndim + len(shape)
            if place >= 0 and shape[place] > 1:
                cuts[place] = channels
        if cuts:
            call.change(key, partial(_compressed, values, cuts))
    return call.move(call.inputs[0])


def _compressed(values: np.ndarray, cuts: Mapping[int, np.ndarray], kept: Kept) -> Any:
    for axis, channels in cuts.items():
        values = np.compress(kept.mask(channels), values, axis)
    return values.tolist()


@register_rule(layers.Masking)
def masking(call: RuleContext) -> np.ndarray:
    if has_channels(call.inputs[0]):
        raise Unsupported("which steps it masks depends on all channels")
    return call.inputs[0]


@register_rule(layers.Dropout)
def dropout(call: RuleContext) -> np.ndarray | Planes:
    noise = call.operation.noise_shape
    for plane in call.planes(call.inputs[0]) if noise is not None else ():
        if any(noise[axis] not in (None, 1) for axis in call.varying(plane)):
            raise Unsupported("its `noise_shape` names the number of channels")
    return call.move(call.inputs[0])


@register_rule(layers.PReLU)
def prelu(call: RuleContext) -> np.ndarray:
    layer, (inputs,) = call.operation, call.inputs
    varying = call.varying(inputs)
    for axis in varying[-1:]:
        channels = call.vector(inputs, axis)
        if layer.alpha.shape[axis - 1] > 1 or inputs.shape[axis] == 1:
            call.bind(layer.alpha, axis - 1, channels, "through")
    return inputs


@register_rule(layers.Softmax)
@register_operation("nn.Softmax", "nn.LogSoftmax", "nn.Sparsemax")
def softmax(call: RuleContext) -> np.ndarray | Planes:
    inputs, *masks = call.inputs
    axes = set(axes_of(call.operation.axis, inputs.ndim))
    first, *further = call.planes(inputs)
    if axes & set(call.varying(first)) or any(map(has_channels, masks)):
        raise Unsupported("its sum is taken over the channels")
    for plane in further:
        if axes & set(call.varying(plane)):
            call.freeze(plane, f"{call.kind}: its sum is taken over the channels")
    shapes = [*map(call.shape_of, masks), *(shape for _, shape in find_constants(call.args, call.kwargs))]
    for plane in call.planes(inputs):
        for axis, shape in itertools.product(call.varying(plane), shapes):
            if axis - plane.ndim + len(shape) >= 0 and shape[axis - plane.ndim] != 1:
                call.freeze(plane, f"{call.kind}: its mask has entries for them")
    return call.move(inputs)


@register_operation("nn.Glu")
def gated_linear_unit(call: RuleContext) -> np.ndarray:
    """The second half of an axis gates the first."""
    inputs, axis = call.inputs[0], call.operation.axis % call.inputs[0].ndim
    size = call.input_shapes[0][axis]
    if size is None:
        raise Unsupported("it halves an axis of unknown size")
    halves = np.split(inputs, 2, axis)
    call.unite(*halves)
    return halves[0]


@register_operation("nn.BatchNorm")
def batch_normalization(call: RuleContext) -> np.ndarray:
    """Its statistics, scale and offset are vectors along one axis."""
    inputs, *vectors = call.inputs
    channels = call.vector(inputs, call.operation.axis)
    for labels in vectors:
        call.unite(channels, labels)
    for path, _ in find_constants(call.args, call.kwargs):
        call.cut(path, channels)
    return inputs
