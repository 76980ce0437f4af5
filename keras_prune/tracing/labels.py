"""Label arrays: which channel made each entry of a tensor, and which channels must be removed together.

A label array has the shape of its tensor (an unknown size, like that of the batch, is 1). Each entry is an atom, the
number of one channel of one layer, or FIXED: not made by a channel that can be removed. Operations that move data move
the labels with the same NumPy function, so no rule does arithmetic with indices. Axes along which nothing changes are
broadcast (stride 0) and cost nothing, however large the image. Axes of size 1 merge with nothing when tensors are
broadcast against each other; so the design's third label, NEUTRAL, is a question of shapes here and needs no number.

An entry has one atom, so the channels of a label array end up along one axis (`Atoms.make_rectangular`). A tensor whose
channels lie along several axes, such as a matrix of weights, has several arrays: its `Planes`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

FIXED = -1


class Labels(np.ndarray):
    """A label array among other arguments of a call.

    Attributes:
        further: The other planes of its tensor, if its channels lie along several axes.
        of_weights: Whether its tensor is a weight, or made of weights alone.
    """

    further: tuple[np.ndarray, ...] = ()
    of_weights: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Planes:
    """The labels of a tensor whose channels lie along several axes: an entry is removed with any of its channels.

    Args:
        arrays: A label array for each of these axes, all of the tensor's shape.
    """

    arrays: tuple[np.ndarray, ...]


def as_planes(labels: np.ndarray | Planes) -> list[np.ndarray]:
    """The label arrays of a tensor."""
    return list(labels.arrays) if isinstance(labels, Planes) else [labels]


def as_labels(array: np.ndarray, further: Sequence[np.ndarray] = (), of_weights: bool = False) -> Labels:
    """Mark an array as labels."""
    marked = array.view(Labels)
    marked.further, marked.of_weights = tuple(further), of_weights
    return marked


def as_one(arrays: Sequence[np.ndarray]) -> np.ndarray | Planes:
    """The labels of a tensor with these planes."""
    return arrays[0] if len(arrays) == 1 else Planes(tuple(arrays))


class Atoms:
    """The atoms of a model: a union-find of those that must be removed together, and why some must be kept.

    `_parent` holds for each atom an earlier one of the same set, or the atom itself: the root of its set. There is room
    for more at its end, and its last entry is always FIXED, so that FIXED (-1) leads to itself.
    """

    def __init__(self) -> None:
        self._parent = np.full(1024, FIXED)
        self._count = 0
        self._frozen: dict[int, str] = {}
        self._inexact: dict[int, str] = {}

    def __len__(self) -> int:
        return self._count

    def mint(self, count: int) -> np.ndarray:
        """Returns the labels of `count` new channels."""
        made = np.arange(self._count, self._count + count)
        self._count += count
        if self._count >= len(self._parent):
            self._parent = np.append(self._parent, np.full(self._count, FIXED))
        self._parent[made] = made
        return made

    def roots(self, labels: np.ndarray) -> np.ndarray:
        """The labels with each atom replaced by the first of those united with it. FIXED stays FIXED."""
        parent = self._parent
        found = parent[labels]
        while not np.array_equal(above := parent[found], found):
            parent[found] = above = parent[above]  # half the way for whoever comes next
            found = above
        parent[labels] = found
        return found

    def unite(self, first: np.ndarray, second: np.ndarray, reason: str) -> None:
        """Unite the atoms at the same places of two arrays (broadcast); those opposite FIXED must be kept.

        Args:
            first: Labels.
            second: Labels; the shapes must broadcast.
            reason: Why an atom opposite FIXED must be kept.
        """
        one, other = (array.ravel() for array in collapse(np.broadcast_arrays(first, second)))
        beside_fixed = (one == FIXED) != (other == FIXED)
        if beside_fixed.any():
            self.freeze(np.maximum(one, other)[beside_fixed], reason)
        one, other = one[~beside_fixed], other[~beside_fixed]
        while len(one):
            one, other = self.roots(one), self.roots(other)
            apart = one != other
            one, other = one[apart], other[apart]
            # Where an atom meets several others one of them wins; the next round unites the rest.
            self._parent[np.maximum(one, other)] = np.minimum(one, other)

    def freeze(self, labels: np.ndarray, reason: str, override: bool = False) -> None:
        """Freeze these channels: they must be kept. The first reason is reported, unless another overrides it."""
        for atom in np.unique(collapse([labels])[0]).tolist():
            if atom != FIXED and (override or atom not in self._frozen):
                self._frozen[atom] = reason

    def mark_inexact(self, labels: np.ndarray, reason: str) -> None:
        """Note that without these channels the values of those that are kept change."""
        for atom in np.unique(collapse([labels])[0]).tolist():
            if atom != FIXED:
                self._inexact.setdefault(atom, reason)

    def frozen(self) -> dict[int, str]:
        """The reason by root, for channels that must be kept."""
        return self._by_root(self._frozen)

    def inexact(self) -> dict[int, str]:
        """The reason by root, for channels whose removal changes the values of others."""
        return self._by_root(self._inexact)

    def are_kept(self, labels: np.ndarray) -> bool:
        """Whether none of these channels can be removed, as far as is known by now."""
        roots = set(np.unique(self.roots(collapse([labels])[0])).tolist()) - {FIXED}
        return roots <= self.frozen().keys()

    def varying(self, labels: np.ndarray) -> tuple[int, ...]:
        """The axes along which different channels lie."""
        small = self.roots(collapse([labels])[0])
        return tuple(
            axis
            for axis in range(labels.ndim)
            if small.shape[axis] > 1 and bool((small != small.take([0], axis=axis)).any())
        )

    def vector(self, labels: np.ndarray, axis: int, reason: str) -> np.ndarray:
        """Return the channels along one axis, where a layer treats all other positions alike: united over those.

        Args:
            labels: Labels of a tensor.
            axis: The axis of the layer's weights.
            reason: Why channels opposite FIXED ones must be kept.
        """
        axis %= labels.ndim
        varying = self.varying(labels)
        if varying and axis not in varying and labels.shape[axis] > 1:  # the channels lie along another axis
            self.freeze(labels, reason)
            return np.full(labels.shape[axis], FIXED)
        small = collapse([labels], keep=axis)[0]
        first = small[tuple(slice(None) if i == axis else slice(0, 1) for i in range(labels.ndim))]
        if small.size > first.size:
            self.unite(small, first, reason)
        return first.reshape(-1)

    def make_rectangular(self, arrays: Sequence[np.ndarray]) -> None:
        """Unite atoms until every tensor is a rectangle whatever is removed: its channels lie along one axis only.

        A tensor made by splitting an axis in two, as in a channel shuffle, keeps its last axis prunable: the channels
        at the same place of each part are removed together.
        """
        tables = [collapse([array])[0] for array in arrays]
        tables = [table for table in tables if sum(size > 1 for size in table.shape) > 1]
        everything = np.arange(len(self))
        todo = tables
        while todo:
            before = self.roots(everything)
            for table in todo:
                for axis in self.varying(table)[:-1]:
                    self.unite(table, table.take([0], axis=axis), "it lies in one row with entries that must stay")
            moved = np.append(before != self.roots(everything), False)  # FIXED, the last entry, never moves
            # What moved in one tensor may be seen in those after it, and in those before it: there and back.
            tables.reverse()
            todo = [table for table in tables if moved[table].any()]

    def _by_root(self, reasons: dict[int, str]) -> dict[int, str]:
        found: dict[int, str] = {}
        roots = self.roots(np.array(list(reasons), dtype=np.int64))
        for root, reason in zip(roots.tolist(), reasons.values(), strict=True):
            found.setdefault(root, reason)
        return found


def fixed(shape: Sequence[int | None]) -> np.ndarray:
    """Labels of a tensor none of whose channels can be removed."""
    return np.broadcast_to(np.int64(FIXED), label_shape(shape))


def label_shape(shape: Sequence[int | None]) -> tuple[int, ...]:
    """The shape of a tensor's labels: unknown sizes are 1."""
    return tuple(1 if size is None else size for size in shape)


def spread(vector: np.ndarray, axis: int, shape: Sequence[int | None]) -> np.ndarray:
    """The labels of a tensor of this shape whose channels lie along `axis`."""
    shape = label_shape(shape)
    view = [1] * len(shape)
    view[axis] = -1
    return np.broadcast_to(vector.reshape(view), shape)


def collapse(arrays: Sequence[np.ndarray], keep: int | None = None) -> list[np.ndarray]:
    """The arrays, all of one rank, with the axes along which none of them changes cut to size 1, except `keep`."""
    index = tuple(
        slice(0, 1) if axis != keep and all(_constant(array, axis) for array in arrays) else slice(None)
        for axis in range(arrays[0].ndim)
    )
    return [array[index] for array in arrays]


def _constant(array: np.ndarray, axis: int) -> bool:
    return array.shape[axis] == 1 or array.strides[axis] == 0


def has_channels(labels: np.ndarray) -> bool:
    """Whether anything with these labels can be removed."""
    return bool((collapse([labels])[0] != FIXED).any())
