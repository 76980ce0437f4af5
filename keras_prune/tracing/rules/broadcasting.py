"""Tensors that meet entry by entry, as NumPy broadcasts them: which channels belong together then.

Constants among them have no channels of their own: they are cut along the channels that they meet.
"""

from collections.abc import Sequence

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.tracing.constants import find_constants
from keras_prune.tracing.labels import Planes, as_planes, fixed, has_channels, spread
from keras_prune.tracing.rule_context import Labels, RuleContext, Unsupported

_SUMS = _keras.operation_classes("numpy.Add")
Operand = tuple[list[np.ndarray], tuple[int | None, ...]]  # its planes, and the shape with None for unknown sizes


def operands(call: RuleContext) -> list[Operand]:
    """All tensors among the arguments. A variable that is no layer's there has no channels to remove."""
    found: list[Operand] = []
    for leaf in keras.tree.flatten((call.args, call.kwargs)):
        if isinstance(leaf, Labels):
            found.append((call.planes(leaf), call.shape_of(leaf)))
        elif isinstance(leaf, keras.Variable) and len(leaf.shape) > 0:
            found.append(([fixed(tuple(leaf.shape))], tuple(leaf.shape)))
    return found


def join(call: RuleContext, tensors: Sequence[Operand]) -> np.ndarray | Planes:
    """The labels of what is computed of tensors entry by entry; constants among the arguments are cut likewise."""
    rank = max(len(shape) for _, shape in tensors)
    wide = [
        (
            [plane.reshape((1,) * (rank - plane.ndim) + plane.shape) for plane in planes],
            (1,) * (rank - len(shape)) + shape,
        )
        for planes, shape in tensors
    ]
    made: np.ndarray | Planes | None = None
    if all(len(planes) == 1 for planes, _ in wide):
        made = _merge(call, [(planes[0], shape) for planes, shape in wide])
    if made is None:
        made = _meet(call, wide)
    _keep_column(call, as_planes(made))
    return follow(call, made)


def _keep_column(call: RuleContext, made: Sequence[np.ndarray]) -> None:
    """Keeps the channels of a sum whose second term has but one axis of several entries, unless that is the last.

    On TensorFlow Keras (3.15) takes such a term for a bias, and adds it along the last axis as soon as sizes agree.
    """
    second = call.argument(1, "x2")
    if type(call.operation) not in _SUMS or not len(getattr(second, "shape", ())):
        return
    shape = call.shape_of(second) if isinstance(second, Labels) else tuple(second.shape)
    long = [place - len(shape) for place, size in enumerate(shape) if size != 1]
    for plane in made if len(long) == 1 and long != [-1] else ():
        if -long[0] <= plane.ndim and long[0] + plane.ndim in call.varying(plane)[-1:]:
            call.freeze(plane, f"{call.kind} adds a vector along another axis than the last, which must keep its size")


def follow(call: RuleContext, made: np.ndarray | Planes) -> np.ndarray | Planes:
    """Cuts the constants of a call along the channels of what it makes."""
    planes = as_planes(made)
    for path, shape in find_constants(call.args, call.kwargs):
        rank = max(planes[0].ndim, len(shape))
        given = (1,) * (rank - len(shape)) + shape
        planes = [plane.reshape((1,) * (rank - plane.ndim) + plane.shape) for plane in planes]
        for plane in planes:
            grows = any(size == 1 < other for size, other in zip(plane.shape, given, strict=True))
            if grows and has_channels(plane) and not call.varying(plane):
                call.freeze(plane, f"{call.kind} applies it to all entries of a constant")
        shape = np.broadcast_shapes(planes[0].shape, given)
        grown = [axis for axis, size in enumerate(planes[0].shape) if size == 1 < given[axis]]
        if grown and not any(map(has_channels, planes)):  # its entries may meet channels later
            own = call.constant_channels(path, grown[-1] - rank, given[grown[-1]])
            planes = [spread(own, grown[-1], shape)]
        planes = [np.broadcast_to(plane, shape) for plane in planes]
        call.cut(path, *planes)
    return planes[0] if len(planes) == 1 else Planes(tuple(planes))


def _meet(call: RuleContext, tensors: Sequence[Operand]) -> np.ndarray | Planes:
    """The same where channels lie along several axes: along each axis those that meet are united.

    Along an axis of size 1 a tensor has no channels, and is used for all of the others'.
    """
    along = [call.vectors(planes) for planes, _ in tensors]
    found = {}
    for axis in range(len(tensors[0][1])):
        meeting = [vectors[axis] for vectors in along if axis in vectors]
        if len(meeting) < sum(shape[axis] != 1 for _, shape in tensors):
            for vector in meeting:
                call.freeze(vector, f"{call.kind} joins it with entries that must stay")
        elif meeting:
            for other in meeting[1:]:
                call.unite(meeting[0], other)
            found[axis] = meeting[0]
    return call.lay(found)


def _merge(call: RuleContext, tensors: Sequence[tuple[np.ndarray, tuple[int | None, ...]]]) -> np.ndarray | None:
    """Unites the channels at the same places, and leaves alone those that meet an axis of size 1.

    A tensor of size 1 along the axis of the other's channels is a gate for all of them: it merges with none, and its
    own channel must be kept, since the result no longer tells of it. None if channels of different axes meet: also
    those along one axis that must be kept, and those along two.
    """
    axes = [call.varying(given) for given, _ in tensors]
    leading = max(range(len(tensors)), key=lambda index: (has_channels(tensors[index][0]), len(axes[index])))
    (main, _), along = tensors[leading], axes[leading]
    others = [(*tensor, own) for index, (tensor, own) in enumerate(zip(tensors, axes, strict=True)) if index != leading]
    if any(main.shape[axis] == 1 < other.shape[axis] for other, _, own in others for axis in own):
        return None
    for other, shape, _ in others:
        if any(shape[axis] is None for axis in along):
            raise Unsupported("sizes are involved that are unknown before the model runs")
        if along and all(other.shape[axis] == 1 for axis in along):
            call.freeze(other, f"{call.kind} applies it to all channels of another tensor")
        elif len(along) > 1 and other.shape[along[-1]] == 1 and call.found.atoms.are_kept(other):
            return None  # a gate of experts none of which can be removed: channels of each can
        else:
            call.unite(*np.broadcast_arrays(main, other))
    return np.broadcast_to(main, np.broadcast_shapes(*(given.shape for given, _ in tensors)))
