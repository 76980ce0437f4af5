"""Operations on each entry alone: activations, arithmetic, merges, noise."""

import keras
import numpy as np
from keras import layers

from keras_prune import keras_internals
from keras_prune.channels.call import Call, Labels, Unsupported, has_channels
from keras_prune.channels.labels import fixed
from keras_prune.channels.rules.activations import apply_activation
from keras_prune.channels.rules.registry import register_rule

_LAYERS = "ReLU LeakyReLU ELU Identity ActivityRegularization AlphaDropout GaussianDropout GaussianNoise"
_MERGES = [layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply, layers.Subtract]
_NN = (
    "Relu Relu6 Sigmoid SparseSigmoid Softplus Softsign SoftShrink SparsePlus Silu Squareplus LogSigmoid LeakyRelu "
    "HardSigmoid HardSilu Elu Selu Gelu Celu TanhShrink HardTanh HardShrink Threshold"
)
_NUMPY = (
    "Absolute Abs Add Arctan Arctan2 Ceil Clip Copy Cos Cosh Divide DivideNoNan Equal Exp Exp2 Expm1 Floor "
    "FloorDivide Greater GreaterEqual Less LessEqual Log Log10 Log1p Log2 Logaddexp LogicalAnd LogicalNot LogicalOr "
    "Maximum Minimum Mod Multiply Negative NotEqual OnesLike Power Reciprocal Round Sign Sin Sinh Sqrt Square Subtract "
    "Tan Tanh TrueDivide Where ZerosLike"
)
_OTHER = ["core.Cast", "core.SaturateCast", "core.StopGradient", "math.Erf", "math.Erfc", "math.Rsqrt"]
_OPERATIONS = keras_internals.operation_classes(
    *(f"nn.{name}" for name in _NN.split()), *(f"numpy.{name}" for name in _NUMPY.split()), *_OTHER
)


@register_rule(*(getattr(layers, name) for name in _LAYERS.split()), *_OPERATIONS)
def elementwise(call: Call) -> np.ndarray:
    return _merge(call, _operands(call))


@register_rule(*_MERGES)
def merge(call: Call) -> np.ndarray:
    """Unlike NumPy, these layers align tensors of different rank at the batch axis."""
    rank = len(call.output_shapes[0])
    operands = []
    for given, shape in _operands(call):
        ones = (1,) * (rank - given.ndim)
        operands.append((given.reshape(given.shape[:1] + ones + given.shape[1:]), (shape[0], *ones, *shape[1:])))
    return _merge(call, operands)


@register_rule(layers.Activation)
def activation(call: Call) -> np.ndarray:
    apply_activation(call, call.operation.activation, call.inputs[0])
    return call.inputs[0]


@register_rule(layers.Rescaling)
def rescaling(call: Call) -> np.ndarray:
    if max(np.ndim(call.operation.scale), np.ndim(call.operation.offset)) > 0 and has_channels(call.inputs[0]):
        raise Unsupported("its scale differs from channel to channel")
    return call.inputs[0]


@register_rule(layers.Dropout)
def dropout(call: Call) -> np.ndarray:
    noise = call.operation.noise_shape
    if noise is not None and any(noise[axis] not in (None, 1) for axis in call.varying(call.inputs[0])):
        raise Unsupported("its `noise_shape` names the number of channels")
    return call.inputs[0]


@register_rule(layers.PReLU)
def prelu(call: Call) -> np.ndarray:
    layer, (inputs,) = call.operation, call.inputs
    varying = call.varying(inputs)
    for axis in varying[-1:]:
        channels = call.vector(inputs, axis)
        if layer.alpha.shape[axis - 1] > 1 or inputs.shape[axis] == 1:
            call.bind(layer.alpha, axis - 1, channels, "through")
    return inputs


@register_rule(layers.Softmax, *keras_internals.operation_classes("nn.Softmax", "nn.LogSoftmax"))
def softmax(call: Call) -> np.ndarray:
    axis, (inputs, *masks) = call.operation.axis, call.inputs
    axes = range(inputs.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    if masks or {each % inputs.ndim for each in axes} & set(call.varying(inputs)):
        raise Unsupported("its sum is taken over the channels")
    return inputs


Operand = tuple[np.ndarray, tuple[int | None, ...]]  # labels, and the shape with None for unknown sizes


def _operands(call: Call) -> list[Operand]:
    """All operands; arrays that are no tensors of the graph have no channels that can go."""
    shapes = iter(call.input_shapes)
    operands: list[Operand] = []
    for leaf in keras.tree.flatten((call.args, call.kwargs)):
        if isinstance(leaf, Labels):
            operands.append((np.asarray(leaf), next(shapes)))
        elif len(getattr(leaf, "shape", ())) > 0:
            operands.append((fixed(tuple(leaf.shape)), tuple(leaf.shape)))
    return operands


def _merge(call: Call, operands: list[Operand]) -> np.ndarray:
    """Unites the channels at the same places, and leaves alone those that meet an axis of size 1.

    A tensor of size 1 along the axis of the other's channels is a gate for all of them: it merges with none, and its
    own channel must stay, since the result no longer tells of it.
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
            raise Unsupported("sizes are involved that are not known before the model runs")
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
