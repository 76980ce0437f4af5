"""Label arrays: which channel made each entry of a tensor, and which channels must go together.

A label array has the shape of its tensor (an unknown size, like that of the batch, is 1). Each entry is an atom, the
number of one channel of one layer, or FIXED: not made by a channel that can go. Operations that move data move the
labels with the same NumPy function, so no rule does arithmetic with indices. Axes along which nothing changes are
broadcast (stride 0) and cost nothing, however large the image. Axes of size 1 merge with nothing when tensors are
broadcast against each other; so the design's third label, NEUTRAL, is a question of shapes here and needs no number.
"""

from collections.abc import Sequence

import numpy as np

FIXED = -1


class Atoms:
    """The atoms of a model: a union-find of those that must go together, and the reasons why some must stay."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._frozen: dict[int, str] = {}
        self._inexact: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._parent)

    def mint(self, count: int) -> np.ndarray:
        """Returns the labels of `count` new channels."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def roots(self, labels: np.ndarray) -> np.ndarray:
        """The labels with each atom replaced by the first of those united with it. FIXED stays FIXED."""
        unique, inverse = np.unique(labels, return_inverse=True)
        found = np.array([FIXED if atom == FIXED else self._find(int(atom)) for atom in unique], dtype=np.int64)
        return found[inverse].reshape(labels.shape)

    def unite(self, first: np.ndarray, second: np.ndarray, reason: str) -> None:
        """Lets the atoms at the same places of two arrays (broadcast) go together; those opposite FIXED must stay.

        Args:
            first: Labels.
            second: Labels; the shapes must broadcast.
            reason: Why an atom opposite FIXED must stay.
        """
        arrays = collapse(np.broadcast_arrays(first, second))
        pairs = np.unique(np.stack([array.ravel() for array in arrays], axis=1), axis=0)
        for one, other in pairs[pairs[:, 0] != pairs[:, 1]].tolist():
            if FIXED in (one, other):
                self._frozen.setdefault(max(one, other), reason)
            else:
                low, high = sorted((self._find(one), self._find(other)))
                self._parent[high] = low

    def freeze(self, labels: np.ndarray, reason: str, override: bool = False) -> None:
        """Makes these channels stay. The first reason given is reported, unless another overrides it."""
        for atom in np.unique(collapse([labels])[0]).tolist():
            if atom != FIXED and (override or atom not in self._frozen):
                self._frozen[atom] = reason

    def mark_inexact(self, labels: np.ndarray, reason: str) -> None:
        """Notes that without these channels the values of those that stay change."""
        for atom in np.unique(collapse([labels])[0]).tolist():
            if atom != FIXED:
                self._inexact.setdefault(atom, reason)

    def frozen(self) -> dict[int, str]:
        """The reason by root, for channels that must stay."""
        return self._by_root(self._frozen)

    def inexact(self) -> dict[int, str]:
        """The reason by root, for channels whose removal changes the values of others."""
        return self._by_root(self._inexact)

    def varying(self, labels: np.ndarray) -> tuple[int, ...]:
        """The axes along which different channels lie."""
        small = self.roots(collapse([labels])[0])
        return tuple(
            axis
            for axis in range(labels.ndim)
            if small.shape[axis] > 1 and bool((small != small.take([0], axis=axis)).any())
        )

    def vector(self, labels: np.ndarray, axis: int, reason: str) -> np.ndarray:
        """The channels along one axis, where a layer treats all other positions alike: they are united over those.

        Args:
            labels: Labels of a tensor.
            axis: The axis of the layer's weights.
            reason: Why channels opposite FIXED ones must stay.
        """
        axis %= labels.ndim
        varying = self.varying(labels)
        if varying and axis not in varying and labels.shape[axis] > 1:  # the channels lie along another axis
            self.freeze(labels, reason)
            return np.full(labels.shape[axis], FIXED)
        small = collapse([labels], keep=axis)[0]
        first = small[tuple(slice(None) if i == axis else slice(0, 1) for i in range(labels.ndim))]
        self.unite(small, first, reason)
        return first.reshape(-1)

    def make_rectangular(self, arrays: Sequence[np.ndarray]) -> None:
        """Unites atoms until every tensor stays a rectangle whatever goes: its channels lie along one axis only.

        A tensor made by splitting an axis in two, as in a channel shuffle, keeps its last axis prunable: the channels
        at the same place of each part go together.
        """
        todo = [collapse([array])[0] for array in arrays]
        todo = [array for array in todo if sum(size > 1 for size in array.shape) > 1]
        everything = np.arange(len(self))
        while True:
            before = self.roots(everything)
            for array in todo:
                for axis in self.varying(array)[:-1]:
                    self.unite(array, array.take([0], axis=axis), "it lies in one row with entries that must stay")
            if np.array_equal(before, self.roots(everything)):  # what still varies lies opposite FIXED, and is frozen
                return

    def _find(self, atom: int) -> int:
        root = atom
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[atom] != root:
            self._parent[atom], atom = root, self._parent[atom]
        return root

    def _by_root(self, reasons: dict[int, str]) -> dict[int, str]:
        found: dict[int, str] = {}
        for atom, reason in reasons.items():
            found.setdefault(self._find(atom), reason)
        return found


def fixed(shape: Sequence[int | None]) -> np.ndarray:
    """Labels of a tensor without channels that can go."""
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
    """The arrays, all of one rank, with the axes along which none of them changes cut to size 1, but for `keep`."""
    index = tuple(
        slice(0, 1) if axis != keep and all(_constant(array, axis) for array in arrays) else slice(None)
        for axis in range(arrays[0].ndim)
    )
    return [array[index] for array in arrays]


def _constant(array: np.ndarray, axis: int) -> bool:
    return array.shape[axis] == 1 or array.strides[axis] == 0
