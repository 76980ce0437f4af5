"""Parts of tensors: split, indexed, sliced, taken. If they are parts of the channels, the places are counted again."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from keras_prune.tracing.labels import Planes, as_planes
from keras_prune.tracing.rule_context import Kept, Labels, RuleContext, Unsupported
from keras_prune.tracing.rules.broadcasting import join, operands
from keras_prune.tracing.rules.registry import register_operation


@register_operation("numpy.Split", "numpy.ArraySplit", "numpy.Hsplit", "numpy.Vsplit", "numpy.Dsplit")
def split(call: RuleContext) -> list[np.ndarray | Planes]:
    (inputs,), sections = call.inputs, call.operation.indices_or_sections
    axis = {"Hsplit": 1, "Vsplit": 0, "Dsplit": 2}.get(type(call.operation).__name__)
    axis = call.operation.axis % inputs.ndim if axis is None else axis
    if call.input_shapes[0][axis] is None:
        raise Unsupported("it splits an axis of unknown size")
    places = sections if isinstance(sections, int) else list(sections)
    cut = [np.array_split(plane, places, axis) for plane in call.planes(inputs)]
    for plane, parts in zip(call.planes(inputs), cut, strict=True):
        if axis not in call.varying(plane):
            continue
        if type(call.operation).__name__ == "ArraySplit":  # in Keras (3.15) it takes no places
            raise Unsupported("it splits the channels into parts of different sizes")
        vectors = [call.vector(part, axis) for part in parts]

        def indices(kept: Kept, vectors: list[np.ndarray] = vectors) -> list[int]:
            return np.cumsum([kept.count(vector) for vector in vectors])[:-1].tolist()

        call.change("indices_or_sections", indices)
    return [Planes(tuple(parts)) for parts in zip(*cut, strict=True)]


@register_operation("core.Unstack")
def unstack(call: RuleContext) -> list[np.ndarray]:
    inputs = call.inputs[0]
    axis = call.operation.axis % inputs.ndim
    if axis in call.varying(inputs)[-1:]:
        raise Unsupported("it makes a tensor of each channel")
    if call.input_shapes[0][axis] is None:
        return [inputs.take(0, axis) for _ in call.output_shapes]
    return [inputs.take(place, axis) for place in range(len(call.output_shapes))]


@register_operation("numpy.GetItem")
def get_item(call: RuleContext) -> np.ndarray | Planes:
    """Indexing, as in `x[:, 0]` or `x[..., :8]`."""
    inputs, key = call.inputs[0], call.argument(1, "key")
    keys = list(key) if isinstance(key, tuple | list) else [key]
    if not all(each is None or each is Ellipsis or isinstance(each, int | slice) for each in keys):
        raise Unsupported("its index is no plain number or slice")
    missing = inputs.ndim - sum(each is not None and each is not Ellipsis for each in keys)
    where = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
    keys[where : where + 1] = [slice(None)] * missing
    along = call.along_axes(inputs)
    places = [index for index, each in enumerate(keys) if each is not None]
    renumbered: dict[int, Callable[[Kept], int | slice]] = {}
    found = {}
    for axis, channels in along.items():
        place = places[axis]
        index = keys[place]
        if isinstance(index, int):
            call.freeze(channels[index], f"{call.kind} takes it by its number")
        else:
            found[sum(not isinstance(each, int) for each in keys[:place])] = channels[index]
        number = _renumbered(call, channels, index)
        if number is not None:
            renumbered[place] = number
    if renumbered:
        call.rewrite(
            1,
            "key",
            lambda kept: tuple(renumbered[at](kept) if at in renumbered else each for at, each in enumerate(keys)),
        )
    return call.lay(found)


def _renumbered(call: RuleContext, channels: np.ndarray, index: int | slice) -> Callable[[Kept], int | slice] | None:
    """What an index of channels must be among those that are kept; None if it is the same."""
    if isinstance(index, int):
        before = channels[: index % len(channels)]
        return lambda kept: kept.count(before)
    every = range(len(channels))
    places = every[index]
    if places in (every, every[::-1]):
        return None
    if places.step == 1:
        ends = channels[: places.start], channels[: places.stop]
        return lambda kept: slice(*(kept.count(end) for end in ends))
    if places.step < 0 or len(places) * places.step != len(channels) or places.start >= places.step:
        raise Unsupported("it takes channels at a distance, but not from all")
    blocks = channels.reshape(-1, places.step)  # one of each is taken: the others are removed with it
    call.unite(blocks, blocks[:, :1])
    return None


@register_operation("core.Slice")
def cut(call: RuleContext) -> np.ndarray | Planes:
    inputs, starts = call.inputs[0], call.argument(1, "start_indices")
    along = call.along_axes(inputs)
    if not along:
        return call.fixed()
    if isinstance(starts, Labels) or not all(isinstance(start, int | np.integer) for start in starts):
        raise Unsupported("where it begins is computed")
    given = getattr(call.operation, "shape", None)  # before Keras 3.11 an argument of the call
    shape, places = list(call.argument(2, "shape") if given is None else given), [int(start) for start in starts]
    before = {axis: channels[: places[axis]] for axis, channels in along.items()}
    taken = {
        axis: channels[places[axis] :] if shape[axis] == -1 else channels[places[axis] : places[axis] + shape[axis]]
        for axis, channels in along.items()
    }
    call.rewrite(
        1,
        "start_indices",
        lambda kept: [kept.count(before[axis]) if axis in before else each for axis, each in enumerate(places)],
    )

    def smaller(kept: Kept) -> list[int]:
        return [kept.count(taken[axis]) if axis in taken and each != -1 else each for axis, each in enumerate(shape)]

    if given is None:
        call.rewrite(2, "shape", smaller)
    else:
        call.change("shape", smaller)
    return call.lay(taken)


@register_operation("numpy.Take")
def take(call: RuleContext) -> np.ndarray | Planes:
    inputs, indices, axis = call.inputs[0], call.argument(1, "indices"), call.operation.axis
    along = call.along_axes(inputs)
    computed = isinstance(indices, Labels)
    if computed and axis is not None and not inputs.of_weights and axis % inputs.ndim in along:
        raise Unsupported("which channels it takes is computed")
    if computed:
        call.freeze(indices, f"{call.kind} uses it as an index")
    if not along:
        return call.fixed()
    if axis is None:
        raise Unsupported("it makes a vector of all entries")
    axis, rank = axis % inputs.ndim, np.ndim(indices)
    found = {}
    for place, channels in along.items():
        if place != axis:
            found[place if place < axis else place + rank - 1] = channels
            if inputs.of_weights and computed:  # looked up in a table
                call.use(channels, "out")
        elif computed:
            call.freeze(channels, f"{call.kind} looks it up in a table")
        elif rank == 1:
            found[axis] = _taken(call, channels, indices)
        elif len(along) == 1:
            raise Unsupported("which channels it takes is no vector")
        else:
            call.freeze(channels, f"{call.kind}: which channels it takes is no vector")
    return call.lay(found)


@register_operation("numpy.TakeAlongAxis")
def take_along_axis(call: RuleContext) -> np.ndarray | Planes:
    """Each channel takes entries of its own, if they lie along another axis; where they are, may depend on it."""
    axis, rank = call.operation.axis, len(call.output_shapes[0])
    if axis is None:
        raise Unsupported("it makes a vector of all entries")
    rows = []
    for planes, shape in operands(call):
        place = axis % len(shape)
        if any(place in call.varying(plane) for plane in planes):
            raise Unsupported("which channels it takes differs from place to place")
        rows.append(([plane.take([0], place) for plane in planes], (*shape[:place], 1, *shape[place + 1 :])))
    made = as_planes(join(call, rows))
    row = tuple(slice(0, 1) if each == axis % rank else slice(None) for each in range(rank))
    return Planes(tuple(np.broadcast_to(plane[row], call.fixed().shape) for plane in made))


def _taken(call: RuleContext, channels: np.ndarray, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """The channels at these places, which are counted again among those that are kept."""
    chosen = _places(indices, len(channels))

    def renumber(kept: Kept) -> np.ndarray:
        new = np.cumsum(kept.mask(channels)) - 1
        return new[chosen][kept.mask(channels[chosen])].astype("int32")

    call.rewrite(1, "indices", renumber)
    return channels[chosen]


def _places(indices: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
    if isinstance(indices, keras.Variable) or (not isinstance(indices, list | tuple) and not hasattr(indices, "shape")):
        raise Unsupported("which channels it takes is no plain list or array")
    return np.asarray(ops.convert_to_numpy(indices) if hasattr(indices, "shape") else indices) % size
