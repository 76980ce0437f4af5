"""What a model costs, whatever channels are kept: parameters, and multiply-accumulates (MACs) of a forward pass."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from keras_prune.channels.binding import Binding
from keras_prune.channels.kept import Kept

Axis = int | np.ndarray  # a size, or the channels at each position


@dataclasses.dataclass(frozen=True, eq=False)
class Work:
    """Products of one use of one operation: `positions` times the size of the weight times those of the axes.

    Args:
        layer: Path of the layer.
        positions: How often each entry is multiplied for one sample; None if a size is unknown.
        weight: The variable; None for a product of activations.
        axes: Further sizes that shrink when channels go.
    """

    layer: str
    positions: int | None
    weight: keras.Variable | None
    axes: tuple[Axis, ...]


class Costs:
    """Counts parameters, bytes and MACs of what is left of a model.

    Only multiplications of weights and of attention are counted, as is usual: not biases, normalisation, activations
    and pooling.

    Args:
        weights: The model's weights.
        bindings: Which channels lie along their axes.
        work: What is multiplied in a forward pass.
    """

    def __init__(self, weights: Sequence[keras.Variable], bindings: Iterable[Binding], work: Sequence[Work]):
        self.weights = weights
        self.work = work
        self._shapes = {id(weight): tuple(weight.shape) for weight in weights}
        self._axes: dict[int, list[tuple[int, np.ndarray]]] = {}
        for binding in bindings:
            self._axes.setdefault(id(binding.weight), []).append((binding.axis, binding.labels))

    def parameters(self, kept: Kept) -> int:
        """Number of weights, biases and statistics included, as `model.count_params()` gives it."""
        return sum(self.size(weight, kept) for weight in self.weights)

    def bytes(self, kept: Kept) -> int:
        """What the weights take."""
        return sum(self.size(weight, kept) * item_size(weight.dtype) for weight in self.weights)

    def macs(self, kept: Kept) -> int | None:
        """Multiply-accumulates of a forward pass of one sample; None if the model takes inputs of unknown size."""
        return total([self.macs_of(work, kept) for work in self.work])

    def macs_of(self, work: Work, kept: Kept) -> int | None:
        """Those of one use of one weight."""
        if work.positions is None:
            return None
        size = 1 if work.weight is None else self.size(work.weight, kept)
        return work.positions * size * math.prod(_length(axis, kept) for axis in work.axes)

    def size(self, weight: keras.Variable, kept: Kept) -> int:
        """Number of entries that a weight has left."""
        shape = list(self._shapes[id(weight)])
        for axis, labels in self._axes.get(id(weight), ()):
            shape[axis] = kept.count(labels)
        return math.prod(shape)


def total(counts: Sequence[int | None]) -> int | None:
    """Their sum; None if one is unknown."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def entries(shape: Sequence[int | None]) -> int | None:
    """How many entries one sample of a tensor has; None if a size is unknown."""
    sizes = [size for size in shape[1:] if size is not None]
    return math.prod(sizes) if len(sizes) == len(shape) - 1 else None


def _length(axis: Axis, kept: Kept) -> int:
    return axis if isinstance(axis, int) else kept.count(axis)


def item_size(dtype: str) -> int:
    """Bytes of one entry of this type."""
    bits = "".join(character for character in keras.backend.standardize_dtype(dtype) if character.isdigit())
    return max(1, int(bits or 8) // 8)
