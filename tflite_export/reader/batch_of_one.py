"""The shapes of a file's tensors for one sample, where it leaves the size of its batch open."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tflite_export.reader.flatbuffer import Graph, Operator

Shape = tuple[int, ...]

# What they make has sizes that depend on values, on how often a batch is repeated, or on the number of elements alone.
_UNKNOWN = (
    *("FULLY_CONNECTED", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5"),
    *("RANGE", "RESHAPE", "TILE", "UNIQUE", "WHERE"),
)


def shapes_of_one(graph: Graph) -> list[Shape]:
    """Return the shapes of a graph's tensors for a batch of one; -1 stays where a size does not follow from that.

    Files that were converted for any batch have a first axis of -1 in their inputs, and so in all that follows.
    Operators are listed in the order in which they run.
    """
    shapes = [tensor.shape for tensor in graph.tensors]
    sizes: dict[int, int] = {}  # of the free axis of tensors that have one, which `shapes` no longer tells from others
    for place in graph.inputs.tolist():
        if shapes[place][:1] == (-1,):
            shapes[place] = (1, *shapes[place][1:])
            sizes[place] = 1
    counts = {place: math.prod(shape) for place, shape in enumerate(shapes) if min(shape, default=0) >= 0}
    for operator in graph.operators:
        for place in operator.outputs:
            made = shapes[place] if place >= 0 else ()
            if -1 not in made:
                continue
            count = _count(operator, shapes, counts)
            if count is not None:
                counts[place] = count  # even if it is unknown how many axes share it
            if made.count(-1) > 1:
                continue
            size = _size(graph, operator, shapes, sizes, made) if count is None else _whole(count, _rest(made))
            if size is not None:
                shapes[place] = tuple(size if axis < 0 else axis for axis in made)
                sizes[place], counts[place] = size, size * _rest(made)
    return shapes


def _count(operator: Operator, shapes: Sequence[Shape], counts: dict[int, int]) -> int | None:
    """The elements that an operator makes, if these tell the size of a free axis."""
    reads = operator.inputs
    if not reads or reads[0] not in counts:
        return None
    if operator.name == "RESHAPE":
        return counts[reads[0]]
    if operator.name == "FULLY_CONNECTED" and len(reads) > 1 and reads[1] >= 0 and len(weight := shapes[reads[1]]) == 2:
        rows = _whole(counts[reads[0]], weight[1])  # it joins all axes before the last, unless it is told to keep them
        return None if rows is None or weight[0] < 0 else rows * weight[0]
    return None


def _size(graph: Graph, operator: Operator, shapes: Sequence[Shape], sizes: dict[int, int], made: Shape) -> int | None:
    """The size of the free axis of what an operator makes; None if it is unknown."""
    reads = [place for place in operator.inputs if place >= 0]
    found = {sizes[place] for place in reads if place in sizes}
    if len(found) != 1 or operator.name in _UNKNOWN or operator.name.startswith("CUSTOM"):
        return None
    size = found.pop()
    if operator.name in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"):  # around a convolution with gaps
        block = _product(graph, reads[1:2])
        if block is None:
            return None
        return size * block if operator.name == "SPACE_TO_BATCH_ND" else _whole(size, block)
    if operator.name == "CONCATENATION" and len(reads) > 1 and all(len(shapes[each]) == len(made) for each in reads):
        free = made.index(-1)
        others = {shapes[each][:free] + shapes[each][free + 1 :] for each in reads}
        if others == {made[:free] + made[free + 1 :]}:  # along the batch
            return None
    return size


def _rest(shape: Shape) -> int:
    return math.prod(axis for axis in shape if axis >= 0)


def _whole(total: int, part: int) -> int | None:
    return total // part if part > 0 and total % part == 0 else None


def _product(graph: Graph, places: Sequence[int]) -> int | None:
    """The product of a constant's integers."""
    values: list[np.ndarray[Any, np.dtype[Any]]] = [graph.tensors[place].values() for place in places]
    if len(values) != 1 or not values[0].size or values[0].dtype.kind not in "iu" or values[0].min() < 1:
        return None
    return math.prod(values[0].tolist())
