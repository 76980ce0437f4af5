"""Operations on each entry alone: activations, arithmetic, merges, noise."""

import keras
import numpy as np
from keras import layers

from keras_prune.tracing.labels import fixed
from keras_prune.tracing.rule_context import Labels, RuleContext, Unsupported, has_channels
from keras_prune.tracing.rules.activations import apply_activation
from keras_prune.tracing.rules.entrywise import OPERATIONS
from keras_prune.tracing.rules.registry import register_operation, register_rule

_LAYERS = "ReLU LeakyReLU ELU Identity ActivityRegularization AlphaDropout GaussianDropout GaussianNoise"
_MERGES = [layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply, layers.Subtract]


@register_rule(*(getattr(layers, name) for name in _LAYERS.split()))
@register_operation(*OPERATIONS)
def elementwise(call: RuleContext) -> np.ndarray:
    return _merge(call, _operands(call))


@register_rule(*_MERGES)
def merge(call: RuleContext) -> np.ndarray:
    """Unlike NumPy, these layers align tensors of different rank at the batch axis."""
    rank = len(call.output_shapes[0])
    operands = []
    for given, shape in _operands(call):
        ones = (1,) * (rank - given.ndim)
        operands.append((given.reshape(given.shape[:1] + ones + given.shape[1:]), (shape[0], *ones, *shape[1:])))
    return _merge(call, operands)


@register_rule(layers.Activation)
def activation(call: RuleContext) -> np.ndarray:
    apply_activation(call, call.operation.activation, call.inputs[0])
    return call.inputs[0]


@register_rule(layers.Rescaling)
def rescaling(call: RuleContext) -> np.ndarray:
    if max(np.ndim(call.operation.scale), np.ndim(call.operation.offset)) > 0 and has_channels(call.inputs[0]):
        raise Unsupported("its scale differs from channel to channel")
    return call.inputs[0]


@register_rule(layers.Masking)
def masking(call: RuleContext) -> np.ndarray:
    if has_channels(call.inputs[0]):
        raise Unsupported("which steps it masks depends on all channels")
    return call.inputs[0]


@register_rule(layers.Dropout)
def dropout(call: RuleContext) -> np.ndarray:
    noise = call.operation.noise_shape
    if noise is not None and any(noise[axis] not in (None, 1) for axis in call.varying(call.inputs[0])):
        raise Unsupported("its `noise_shape` names the number of channels")
    return call.inputs[0]


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
def softmax(call: RuleContext) -> np.ndarray:
    axis, (inputs, *masks) = call.operation.axis, call.inputs
    axes = range(inputs.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    if masks or {each % inputs.ndim for each in axes} & set(call.varying(inputs)):
        raise Unsupported("its sum is taken over the channels")
    return inputs


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
    (inputs, _), *vectors = _operands(call)
    channels = call.vector(inputs, call.operation.axis)
    for labels, _ in vectors:
        call.unite(channels, labels)
    return inputs


Operand = tuple[np.ndarray, tuple[int | None, ...]]  # labels, and the shape with None for unknown sizes


def _operands(call: RuleContext) -> list[Operand]:
    """All operands; arrays that are no tensors of the graph have no channels to remove."""
    operands: list[Operand] = []
    for leaf in keras.tree.flatten((call.args, call.kwargs)):
        if isinstance(leaf, Labels):
            operands.append((np.asarray(leaf), call.shape_of(leaf)))
        elif len(getattr(leaf, "shape", ())) > 0:
            operands.append((fixed(tuple(leaf.shape)), tuple(leaf.shape)))
    return operands


def _merge(call: RuleContext, operands: list[Operand]) -> np.ndarray:
    """Unites the channels at the same places, and leaves alone those that meet an axis of size 1.

    A tensor of size 1 along the axis of the other's channels is a gate for all of them: it merges with none, and its
    own channel must be kept, since the result no longer tells of it.
    """
    rank = max(given.ndim for given, _ in operands)
    wide = [given.reshape((1,) * (rank - given.ndim) + given.shape) for given, _ in operands]
    unknown = [{axis + rank - len(shape) for axis, size in enumerate(shape) if size is None} for _, shape in operands]
    axes = [call.varying(given) for given in wide]
    leading = max(range(len(wide)), key=lambda index: (has_channels(wide[index]), len(axes[index])))
    main, along = wide[leading], axes[leading]
    result = np.broadcast_to(main, np.broadcast_shapes(*(given.shape for given in wide)))
    for index, other in enumerate(wide):
        if index == leading:
            continue
        if unknown[index] & set(along):
            raise Unsupported("sizes are involved that are unknown before the model runs")
        gate = along and all(other.shape[axis] == 1 for axis in along)
        apart = any(main.shape[axis] == 1 < other.shape[axis] for axis in axes[index])
        if not (gate or apart):
            call.unite(*np.broadcast_arrays(main, other))
            continue
        call.freeze(other, f"{call.kind} applies it to all channels of another tensor")
        if apart:  # each of its channels meets each of the other's
            call.freeze(main, f"{call.kind} joins channels of different axes")
            result = np.broadcast_to(fixed((1,)), result.shape)
    return result
