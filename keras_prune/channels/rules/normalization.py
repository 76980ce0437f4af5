"""Layers that normalise: exact where each channel is normalised alone, marked inexact where channels mix."""

import keras
import numpy as np
from keras import layers

from keras_prune.channels.call import Call, Unsupported, has_channels
from keras_prune.channels.rules.registry import register_rule


@register_rule(layers.BatchNormalization)
def batch_normalization(call: Call) -> np.ndarray:
    layer = call.operation
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    channels = call.vector(call.inputs[0], axis)
    for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        call.bind(weight, 0, channels, "through")
    return call.inputs[0]


@register_rule(layers.LayerNormalization)
def layer_normalization(call: Call) -> np.ndarray:
    return _over_features(call, [call.operation.gamma, call.operation.beta])


@register_rule(layers.RMSNormalization)
def rms_normalization(call: Call) -> np.ndarray:
    return _over_features(call, [call.operation.scale])


@register_rule(layers.GroupNormalization)
def group_normalization(call: Call) -> np.ndarray:
    """Every group loses the channels at the same places."""
    layer = call.operation
    channels = call.vector(call.inputs[0], layer.axis)
    groups = len(channels) if layer.groups == -1 else layer.groups
    if len(channels) == groups:
        raise Unsupported("each channel is a group of its own")
    call.unite(channels.reshape(groups, -1), channels.reshape(groups, -1)[:1])
    for weight in (layer.gamma, layer.beta):
        call.bind(weight, 0, channels, "through")
    call.mark_inexact(channels, "its mean and variance are taken over groups of channels")
    return call.inputs[0]


@register_rule(layers.Normalization)
def normalization(call: Call) -> np.ndarray:
    """Preprocessing, which stands before all channels."""
    if has_channels(call.inputs[0]):
        raise Unsupported("its statistics belong to the data")
    return call.inputs[0]


def _over_features(call: Call, weights: list[keras.Variable | None]) -> np.ndarray:
    """Statistics over the last axis: they change when channels there go."""
    layer, (inputs,) = call.operation, call.inputs
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if [axis % inputs.ndim for axis in axes] != [inputs.ndim - 1]:
        raise Unsupported("it normalises over another axis than the last")
    varying = call.varying(inputs)
    if varying and varying[-1] != inputs.ndim - 1:  # normalises positions, each channel alone
        return inputs
    channels = call.vector(inputs)
    for weight in weights:
        call.bind(weight, 0, channels, "through")
    call.mark_inexact(channels, "its mean and variance are taken over the channels")
    return inputs
