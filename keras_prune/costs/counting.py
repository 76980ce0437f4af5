"""Counting: parameters, bytes and multiply-accumulates of a model with any choice of channels kept."""

import math
from collections.abc import Hashable, Iterable, Sequence

import keras
import numpy as np

from keras_prune.tracing.binding import Binding
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.products import Axis, Use, Work
from keras_prune.tracing.trace import Trace


class Costs:
    """Counts parameters, bytes and MACs of the part of a model that is kept.

    Only multiplications of weights and of attention are counted, as is usual: not biases, normalisation, activations
    and pooling.

    Args:
        weights: The model's weights.
        bindings: Which channels lie along their axes.
        uses: What is computed in a forward pass.

    Attributes:
        unknown: Why the MACs of an operation are unknown, by its path.
    """

    def __init__(self, weights: Sequence[keras.Variable], bindings: Iterable[Binding], uses: Sequence[Use]):
        self.weights = weights
        self.uses = uses
        self.unknown: dict[str, str] = {}
        for use in uses:
            if use.unknown:
                self.unknown.setdefault(use.path, use.unknown)
        self._shapes = {id(weight): tuple(weight.shape) for weight in weights}
        self._axes: dict[int, list[tuple[int, np.ndarray]]] = {}
        for binding in bindings:
            self._axes.setdefault(id(binding.weight), []).append((binding.axis, binding.labels))

    def parameters(self, kept: Kept) -> int:
        """Number of weights, biases and statistics included, as `model.count_params()` gives it."""
        return sum(self.size(weight, kept) for weight in self.weights)

    def bytes(self, kept: Kept) -> int:
        """Bytes of the weights, as they are stored."""
        return sum(self.size(weight, kept) * item_size(weight.dtype) for weight in self.weights)

    def macs(self, kept: Kept) -> int | None:
        """Multiply-accumulates of a forward pass of one sample; None if those of some operation are unknown."""
        return None if self.unknown else self.known_macs(kept)

    def known_macs(self, kept: Kept) -> int:
        """Multiply-accumulates of the operations of which they are known."""
        works = (work for use in self.uses if use.path not in self.unknown for work in use.work)
        return sum(self.macs_of(work, kept) or 0 for work in works)

    def unknown_sizes(self, kept: Kept) -> list[Hashable]:
        """What is known of the other operations: which they are, and the sizes that they multiply.

        Where this is the same, so are their MACs. What no rule covers keeps its weights and its input channels.
        """
        others = [use for use in self.uses if use.path in self.unknown]
        return [(id(use), tuple(self._products(work, kept) for work in use.work)) for use in others]

    def macs_of(self, work: Work, kept: Kept) -> int | None:
        """Multiply-accumulates of one use of one weight, or of one product of activations; None if unknown."""
        return None if work.positions is None else work.positions * self._products(work, kept)

    def _products(self, work: Work, kept: Kept) -> int:
        """How many there are at each position."""
        size = 1 if work.weight is None else self.size(work.weight, kept)
        return size * math.prod(_length(axis, kept) for axis in work.axes)

    def size(self, weight: keras.Variable, kept: Kept) -> int:
        """Number of entries of a weight that are kept."""
        shape = list(self._shapes[id(weight)])
        for axis, labels in self._axes.get(id(weight), ()):
            shape[axis] = kept.count(labels)
        return math.prod(shape)


def costs_of_trace(trace: Trace) -> Costs:
    """Return the `Costs` of a model whose channels were traced."""
    return Costs(trace.model.weights, trace.found.bindings.values(), trace.uses)


def total(counts: Sequence[int | None]) -> int | None:
    """Their sum; None if one is unknown."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _length(axis: Axis, kept: Kept) -> int:
    return axis if isinstance(axis, int) else kept.count(axis)


def item_size(dtype: str) -> int:
    """Bytes of one entry of this type."""
    bits = "".join(character for character in keras.backend.standardize_dtype(dtype) if character.isdigit())
    return max(1, int(bits or 8) // 8)
