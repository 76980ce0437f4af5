"""Tensors joined: the labels follow each other. Constants among them have no channels."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from keras_prune.tracing.labels import FIXED, Planes, collapse, fixed
from keras_prune.tracing.rule_context import Labels, RuleContext, Unsupported
from keras_prune.tracing.rules.registry import register_operation, register_rule


@register_rule(layers.Concatenate)
@register_operation("numpy.Concatenate")
def concatenate(call: RuleContext) -> np.ndarray | Planes:
    return _join(call, call.operation.axis)


@register_operation("numpy.Append")
def append(call: RuleContext) -> np.ndarray | Planes:
    if call.operation.axis is None:
        raise Unsupported("it makes a vector of all entries")
    return _join(call, call.operation.axis)


@register_operation("numpy.Hstack", "numpy.Vstack", "numpy.Dstack")
def stack_along(call: RuleContext) -> np.ndarray | Planes:
    axis = {"Hstack": 1, "Vstack": 0, "Dstack": 2}[type(call.operation).__name__]
    if len(call.output_shapes[0]) != len(call.input_shapes[0]):
        raise Unsupported("it adds an axis")
    return _join(call, axis)


@register_operation("numpy.Stack")
def stack(call: RuleContext) -> np.ndarray | Planes:
    """A new axis; the channels at the same place of each tensor are united."""
    inputs, axis = _parts(call), call.operation.axis
    if not _has_planes(inputs):
        _unite_rows(call, inputs)
        return np.stack(inputs, axis=axis)
    found = _beside(call, inputs, [])
    axis %= inputs[0].ndim + 1
    return call.lay({place + (place >= axis): channels for place, channels in found.items()})


def _join(call: RuleContext, axis: int) -> np.ndarray | Planes:
    """Along the axis the labels follow each other; at the other places they belong to one row and stay a rectangle."""
    inputs = _parts(call)
    axis %= inputs[0].ndim
    if _has_planes(inputs) and call.output_shapes[0][axis] is not None:
        along = [call.along_axes(given).get(axis, np.full(given.shape[axis], FIXED)) for given in inputs]
        return call.lay({**_beside(call, inputs, [axis]), axis: np.concatenate(along)})
    if call.output_shapes[0][axis] is None:  # of unknown size, so no axis of channels
        if any(axis in call.varying(given) for given in inputs):
            raise Unsupported("it joins along an axis of unknown size")
        first, *more = [given.take([0], axis) for given in inputs]
        for other in more:
            call.unite(first, other)
        return first
    if all(axis not in call.varying(given) for given in inputs):
        _unite_rows(call, [given.take([0], axis) for given in inputs if given.shape[axis]])
    small = collapse(inputs, keep=axis)
    rows = ((*given.shape[:axis], 1, *given.shape[axis + 1 :]) for given in small)  # also of a part without entries
    others = np.broadcast_shapes(*rows)  # one may be of unknown size
    wide = [np.broadcast_to(each, (*others[:axis], each.shape[axis], *others[axis + 1 :])) for each in small]
    joined = np.concatenate(wide, axis)
    return np.broadcast_to(joined, np.broadcast_shapes(joined.shape, call.fixed().shape))


def _unite_rows(call: RuleContext, rows: Sequence[np.ndarray]) -> None:
    """Unites channels that will lie in one column, as in the end they must: what follows may ask for those beside."""
    if all(call.varying(row) for row in rows):
        for row in rows[1:]:
            call.unite(rows[0], row)


def _has_planes(inputs: Sequence[np.ndarray]) -> bool:
    return any(getattr(given, "further", ()) for given in inputs)


def _beside(call: RuleContext, inputs: Sequence[np.ndarray], but: Sequence[int]) -> dict[int, np.ndarray]:
    """The channels along each axis, `but` for some: those of all tensors are united."""
    found = {}
    along = [call.along_axes(given) for given in inputs]
    for axis in {axis for vectors in along for axis in vectors} - set(but):
        meeting = [vectors[axis] for vectors in along if axis in vectors]
        for other in meeting[1:]:
            call.unite(meeting[0], other)
        if len(meeting) == len(inputs):
            found[axis] = meeting[0]
        else:
            call.freeze(meeting[0], f"{call.kind} joins it with entries that must stay")
    return found


def _parts(call: RuleContext) -> Sequence[np.ndarray]:
    """The tensors in order; a constant has no channels."""
    leaves = keras.tree.flatten((call.args, call.kwargs))
    if not all(isinstance(leaf, Labels) or np.ndim(leaf) for leaf in leaves):
        raise Unsupported("it is called in an unknown way")
    return [leaf if isinstance(leaf, Labels) else fixed(tuple(leaf.shape)) for leaf in leaves]
