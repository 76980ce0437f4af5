"""Tensors joined: the labels follow each other. Constants among them have no channels."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from keras_prune.tracing.labels import collapse, fixed
from keras_prune.tracing.rule_context import Labels, RuleContext, Unsupported
from keras_prune.tracing.rules.registry import register_operation, register_rule


@register_rule(layers.Concatenate)
@register_operation("numpy.Concatenate")
def concatenate(call: RuleContext) -> np.ndarray:
    return _join(call, call.operation.axis)


@register_operation("numpy.Append")
def append(call: RuleContext) -> np.ndarray:
    if call.operation.axis is None:
        raise Unsupported("it makes a vector of all entries")
    return _join(call, call.operation.axis)


@register_operation("numpy.Hstack", "numpy.Vstack", "numpy.Dstack")
def stack_along(call: RuleContext) -> np.ndarray:
    axis = {"Hstack": 1, "Vstack": 0, "Dstack": 2}[type(call.operation).__name__]
    if len(call.output_shapes[0]) != len(call.input_shapes[0]):
        raise Unsupported("it adds an axis")
    return _join(call, axis)


@register_operation("numpy.Stack")
def stack(call: RuleContext) -> np.ndarray:
    """A new axis; the channels at the same place of each tensor are united."""
    return np.stack(_parts(call), axis=call.operation.axis)


def _join(call: RuleContext, axis: int) -> np.ndarray:
    """Along the axis the labels follow each other; at the other places they belong to one row and stay a rectangle."""
    inputs = _parts(call)
    axis %= inputs[0].ndim
    if call.output_shapes[0][axis] is None:  # of unknown size, so no axis of channels
        if any(axis in call.varying(given) for given in inputs):
            raise Unsupported("it joins along an axis of unknown size")
        first, *more = [given.take([0], axis) for given in inputs]
        for other in more:
            call.unite(first, other)
        return first
    small = collapse(inputs, keep=axis)
    others = np.broadcast_shapes(*(given.take([0], axis).shape for given in small))  # one may be of unknown size
    wide = [np.broadcast_to(each, (*others[:axis], each.shape[axis], *others[axis + 1 :])) for each in small]
    joined = np.concatenate(wide, axis)
    return np.broadcast_to(joined, np.broadcast_shapes(joined.shape, call.fixed().shape))


def _parts(call: RuleContext) -> Sequence[np.ndarray]:
    """The tensors in order; a constant has no channels."""
    leaves = keras.tree.flatten((call.args, call.kwargs))
    if not all(isinstance(leaf, Labels) or np.ndim(leaf) for leaf in leaves):
        raise Unsupported("it is called in an unknown way")
    return [np.asarray(leaf) if isinstance(leaf, Labels) else fixed(tuple(leaf.shape)) for leaf in leaves]
