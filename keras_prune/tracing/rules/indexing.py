"""Parts of tensors: split, indexed, sliced, taken. If they are parts of the channels, the places are counted again."""

from collections.abc import Callable, Sequence

import numpy as np

from keras_prune.tracing.rule_context import Kept, Labels, RuleContext, Unsupported
from keras_prune.tracing.rules.registry import register_operation


@register_operation("numpy.Split", "numpy.ArraySplit", "numpy.Hsplit", "numpy.Vsplit", "numpy.Dsplit")
def split(call: RuleContext) -> list[np.ndarray]:
    (inputs,), sections = call.inputs, call.operation.indices_or_sections
    axis = {"Hsplit": 1, "Vsplit": 0, "Dsplit": 2}.get(type(call.operation).__name__)
    axis = call.operation.axis % inputs.ndim if axis is None else axis
    if call.input_shapes[0][axis] is None:
        raise Unsupported("it splits an axis of unknown size")
    parts = np.array_split(inputs, sections if isinstance(sections, int) else list(sections), axis)
    if axis in call.varying(inputs):
        if type(call.operation).__name__ == "ArraySplit":  # in Keras (3.15) it takes no places
            raise Unsupported("it splits the channels into parts of different sizes")
        vectors = [call.vector(part, axis) for part in parts]

        def indices(kept: Kept) -> list[int]:
            return np.cumsum([kept.count(vector) for vector in vectors])[:-1].tolist()

        call.change("indices_or_sections", indices)
    return parts


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
def get_item(call: RuleContext) -> np.ndarray:
    """Indexing, as in `x[:, 0]` or `x[..., :8]`."""
    inputs, key = call.inputs[0], call.argument(1, "key")
    keys = list(key) if isinstance(key, tuple | list) else [key]
    if not all(each is None or each is Ellipsis or isinstance(each, int | slice) for each in keys):
        raise Unsupported("its index is no plain number or slice")
    missing = inputs.ndim - sum(each is not None and each is not Ellipsis for each in keys)
    where = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
    keys[where : where + 1] = [slice(None)] * missing
    axis, channels = call.channels(inputs)
    if axis is None:
        return call.fixed()
    place = [index for index, each in enumerate(keys) if each is not None][axis]
    index = keys[place]
    if isinstance(index, int):
        call.freeze(channels[index], f"{call.kind} takes it by its number")
    renumbered = _renumbered(call, channels, index)
    if renumbered is not None:
        call.rewrite(1, "key", lambda kept: (*keys[:place], renumbered(kept), *keys[place + 1 :]))
    if isinstance(index, int):
        return call.fixed()
    return call.spread(channels[index], sum(not isinstance(each, int) for each in keys[:place]))


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
def cut(call: RuleContext) -> np.ndarray:
    inputs, starts = call.inputs[0], call.argument(1, "start_indices")
    axis, channels = call.channels(inputs)
    if axis is None:
        return call.fixed()
    if isinstance(starts, Labels) or not all(isinstance(start, int | np.integer) for start in starts):
        raise Unsupported("where it begins is computed")
    given = getattr(call.operation, "shape", None)  # before Keras 3.11 an argument of the call
    shape = list(call.argument(2, "shape") if given is None else given)
    places = [int(start) for start in starts]
    before, rest = np.split(channels, [places[axis]])
    taken = rest if shape[axis] == -1 else rest[: shape[axis]]
    call.rewrite(1, "start_indices", lambda kept: [*places[:axis], kept.count(before), *places[axis + 1 :]])
    if shape[axis] != -1:

        def smaller(kept: Kept) -> list[int]:
            return [*shape[:axis], kept.count(taken), *shape[axis + 1 :]]

        if given is None:
            call.rewrite(2, "shape", smaller)
        else:
            call.change("shape", smaller)
    return call.spread(taken, axis)


@register_operation("numpy.Take")
def take(call: RuleContext) -> np.ndarray:
    inputs, indices = call.inputs[0], call.argument(1, "indices")
    axis = call.operation.axis
    if isinstance(indices, Labels):
        if axis is not None and axis % inputs.ndim in call.varying(inputs):
            raise Unsupported("which channels it takes is computed")
        call.freeze(indices, f"{call.kind} uses it as an index")
    along, channels = call.channels(inputs)
    if along is None:
        return call.fixed()
    if axis is None:
        raise Unsupported("it makes a vector of all entries")
    axis, rank = axis % inputs.ndim, np.ndim(indices)
    if along != axis:
        return call.spread(channels, along if along < axis else along + rank - 1)
    if rank != 1:
        raise Unsupported("which channels it takes is no vector")
    chosen = _places(indices, len(channels))

    def renumber(kept: Kept) -> np.ndarray:
        new = np.cumsum(kept.mask(channels)) - 1
        return new[chosen][kept.mask(channels[chosen])].astype("int32")

    call.rewrite(1, "indices", renumber)
    return call.spread(channels[chosen], axis)


def _places(indices: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
    if not isinstance(indices, list | tuple | np.ndarray):
        raise Unsupported("which channels it takes is no plain list or array")
    return np.asarray(indices) % size
