"""Layers that normalise: exact where each channel is normalised alone, marked inexact where channels mix."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from keras_prune.graph.leaf_layers import InferenceBatchNormalization
from keras_prune.tracing.constants import find_constants
from keras_prune.tracing.labels import Planes, has_channels, spread
from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules.axes import axes_of
from keras_prune.tracing.rules.registry import register_operation, register_rule


@register_rule(layers.BatchNormalization, InferenceBatchNormalization)
def batch_normalization(call: RuleContext) -> np.ndarray | Planes:
    layer = call.operation
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    inputs, axis = call.inputs[0], axis % call.inputs[0].ndim
    channels = call.along(inputs, axis).get(axis)
    if channels is None:  # statistics of the other axis, each over all channels
        channels = call.vector(inputs, axis)
    for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        call.bind(weight, 0, channels, "through")
    return call.move(inputs)


@register_rule(layers.LayerNormalization)
def layer_normalization(call: RuleContext) -> np.ndarray | Planes:
    return _over(call, "its mean and variance are", call.operation.axis, [call.operation.gamma, call.operation.beta])


@register_rule(layers.RMSNormalization)
def rms_normalization(call: RuleContext) -> np.ndarray | Planes:
    return _over(call, "its mean square is", call.operation.axis, [call.operation.scale])


@register_rule(layers.UnitNormalization)
@register_operation("nn.Normalize")
def unit_normalization(call: RuleContext) -> np.ndarray | Planes:
    return _over(call, "its norm is", call.operation.axis)


@register_operation("nn.LayerNorm", "nn.RMSNorm")
def normalization_operation(call: RuleContext) -> np.ndarray | Planes:
    """Its scale and offset, tensors or constants, have the axes that it normalises over."""
    inputs, *others = call.inputs
    if any(has_channels(given) and not given.of_weights for given in others):
        raise Unsupported("its scale or offset is computed from channels")
    axes = axes_of(call.operation.axis, inputs.ndim)
    channels = call.varying(inputs)[-1:]
    own = getattr(call.operation, "scale", None)  # of RMSNorm before Keras 3.11
    if getattr(own, "shape", ()) and set(axes) & set(channels):
        raise Unsupported("its scale is a constant of the operation")
    for labels in others:
        for place, vector in call.along_axes(labels).items():
            axis = axes[place + len(axes) - labels.ndim]
            if axis in channels:
                call.unite(call.vector(inputs, axis), vector)
            else:
                call.freeze(vector, f"{call.kind} joins it with entries that must stay")
    for path, shape in find_constants(call.args, call.kwargs):
        for axis in channels:
            if axis in axes:
                call.cut(path, spread(call.vector(inputs, axis), axes.index(axis) + len(shape) - len(axes), shape))
    return _over(call, "its statistics are", call.operation.axis)


@register_rule(layers.GroupNormalization)
def group_normalization(call: RuleContext) -> np.ndarray:
    """Every group loses the channels at the same places; groups of one channel are removed with it."""
    layer = call.operation
    channels = call.vector(call.inputs[0], layer.axis)
    groups = len(channels) if layer.groups == -1 else layer.groups
    if len(channels) == groups:
        call.resize("groups", channels)
    else:
        call.unite(channels.reshape(groups, -1), channels.reshape(groups, -1)[:1])
        call.mark_inexact(channels, "its mean and variance are taken over groups of channels")
    for weight in (layer.gamma, layer.beta):
        call.bind(weight, 0, channels, "through")
    return call.inputs[0]


@register_rule(layers.Normalization)
def normalization(call: RuleContext) -> np.ndarray:
    """Preprocessing, which stands before all channels."""
    if has_channels(call.inputs[0]):
        raise Unsupported("its statistics belong to the data")
    return call.inputs[0]


def _over(
    call: RuleContext, what: str, axis: int | Sequence[int] | None, weights: Sequence[keras.Variable | None] = ()
) -> np.ndarray | Planes:
    """Statistics over some axes: they change when channels there are removed. Weights have these axes and no other."""
    inputs = call.inputs[0]
    axes = axes_of(axis, call.inputs[0].ndim)
    if axes != sorted(axes) and any(weight is not None for weight in weights):
        raise Unsupported("its axes are not in order")
    seen: set[int] = set()
    for plane in call.planes(inputs):
        varying = call.varying(plane)[-1:]
        if not varying:
            if set(axes) - {0} and plane.size == 1:
                call.freeze(plane, f"{call.kind} normalises a single channel")
            continue
        if varying[0] in seen:
            call.freeze(plane, f"{call.kind} reads two kinds of channels along one axis")
            continue
        seen.add(varying[0])
        channels = call.vector(plane, varying[0])
        if varying[0] in axes:
            for weight in weights:
                call.bind(weight, axes.index(varying[0]), channels, "through")
            call.mark_inexact(channels, f"{what} taken over the channels")
    return call.move(inputs)
