"""Convolutions of every rank, and whatever else moves a window over an image: pooling, padding, resizing."""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_prune.tracing.products import entries
from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules.activations import apply_activation
from keras_prune.tracing.rules.registry import register_operation, register_rule


def channel_axis(layer: Any) -> int:
    """The axis of the channels of a layer or operation; one without `data_format` follows Keras's setting."""
    return 1 if (layer.data_format or keras.config.image_data_format()) == "channels_first" else -1


@register_rule(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def convolution(call: RuleContext) -> np.ndarray:
    layer = call.operation
    axis = channel_axis(layer)
    given = call.vector(call.inputs[0], axis)
    call.multiply(layer.kernel, pixels_of(call.output_shapes[0], axis))
    if layer.groups > 1 and len(given) == layer.groups:  # each filter reads one channel
        made = np.repeat(given, layer.filters // layer.groups)
        apply_activation(call, layer.activation, made)
        call.bind(layer.kernel, -1, made, "through")
        call.bind(layer.bias, 0, made, "through")
        call.resize("groups", given)
        call.resize("filters", made)
        return call.spread(made, axis)
    made = call.mint("filters", layer.filters)
    apply_activation(call, layer.activation, made)
    if layer.groups > 1:  # every group reads, and makes, as many channels as the others
        call.unite(given.reshape(layer.groups, -1), given.reshape(layer.groups, -1)[:1])
        call.unite(made.reshape(layer.groups, -1), made.reshape(layer.groups, -1)[:1])
    call.bind(layer.kernel, -2, given[: len(given) // layer.groups], "in")
    call.bind(layer.kernel, -1, made, "out")
    call.bind(layer.bias, 0, made, "out")
    call.resize("filters", made)
    return call.spread(made, axis)


@register_rule(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def transposed(call: RuleContext) -> np.ndarray:
    layer = call.operation
    axis = channel_axis(layer)
    made = call.mint("filters", layer.filters)
    call.multiply(layer.kernel, pixels_of(call.input_shapes[0], axis))
    apply_activation(call, layer.activation, made)
    call.bind(layer.kernel, -1, call.vector(call.inputs[0], axis), "in")
    call.bind(layer.kernel, -2, made, "out")
    call.bind(layer.bias, 0, made, "out")
    call.resize("filters", made)
    return call.spread(made, axis)


@register_rule(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def depthwise(call: RuleContext) -> np.ndarray:
    layer = call.operation
    axis = channel_axis(layer)
    given = call.vector(call.inputs[0], axis)
    made = np.repeat(given, layer.depth_multiplier)
    call.multiply(layer.kernel, pixels_of(call.output_shapes[0], axis))
    apply_activation(call, layer.activation, made)
    call.bind(layer.kernel, -2, given, "through")
    call.bind(layer.bias, 0, made, "through")
    return call.spread(made, axis)


@register_rule(layers.SeparableConv1D, layers.SeparableConv2D)
def separable(call: RuleContext) -> np.ndarray:
    layer = call.operation
    axis = channel_axis(layer)
    given = call.vector(call.inputs[0], axis)
    made = call.mint("filters", layer.filters)
    apply_activation(call, layer.activation, made)
    for kernel in (layer.depthwise_kernel, layer.pointwise_kernel):
        call.multiply(kernel, pixels_of(call.output_shapes[0], axis))
    call.bind(layer.depthwise_kernel, -2, given, "through")
    call.bind(layer.pointwise_kernel, -2, np.repeat(given, layer.depth_multiplier), "in")
    call.bind(layer.pointwise_kernel, -1, made, "out")
    call.bind(layer.bias, 0, made, "out")
    call.resize("filters", made)
    return call.spread(made, axis)


def pixels_of(shape: tuple[int | None, ...], axis: int) -> int | None:
    """The size of an image: of all its axes but that of the channels."""
    return entries([size for index, size in enumerate(shape) if index != axis % len(shape)])


_WINDOWS = [
    getattr(layers, f"{name}{rank}D")
    for rank in (1, 2, 3)
    for name in (
        "AveragePooling",
        "MaxPooling",
        "AdaptiveAveragePooling",
        "AdaptiveMaxPooling",
        "ZeroPadding",
        "Cropping",
        "UpSampling",
        "SpatialDropout",
    )
    if hasattr(layers, f"{name}{rank}D")
]


@register_rule(*_WINDOWS, layers.Resizing, layers.CenterCrop)
@register_operation("image.Resize", "image.PadImages", "image.CropImages", "nn.MaxPool", "nn.AveragePool")
@register_operation("nn.AdaptiveMaxPool", "nn.AdaptiveAveragePool")
def window(call: RuleContext) -> np.ndarray:
    layer = call.operation
    # The layers of one dimension without `data_format` know channels last only.
    axis = channel_axis(layer) if hasattr(layer, "data_format") else -1
    return call.spread(call.vector(call.inputs[0], axis), axis)


_GLOBAL = [getattr(layers, f"Global{name}Pooling{rank}D") for rank in (1, 2, 3) for name in ("Average", "Max")]


@register_rule(*_GLOBAL)
def global_pooling(call: RuleContext) -> np.ndarray:
    layer = call.operation
    axis = channel_axis(layer)
    vector = call.vector(call.inputs[0], axis)
    return call.spread(vector, axis if layer.keepdims else -1)


@register_rule(layers.RepeatVector)
def repeat_vector(call: RuleContext) -> np.ndarray:
    if len(call.input_shapes[0]) != 2:
        raise Unsupported("its input is no matrix")
    return call.spread(call.vector(call.inputs[0]))
