"""Weights inside of a layer: what they are fitted to, and whether the layer as a whole comes nearer to the original."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.measurement.flat_copy import Runnable, Step
from keras_prune.reconstruction.refitting.counted import Counted
from keras_prune.reconstruction.refitting.frontier import Frontier
from keras_prune.reconstruction.refitting.inner_products import KeptPlaces, TargetProducts
from keras_prune.reconstruction.refitting.layer_fit import Cut, Use
from keras_prune.reconstruction.refitting.readings import reading_of
from keras_prune.reconstruction.refitting.step_parts import Part
from keras_prune.reconstruction.refitting.tails import Tail


def use_inside(
    before: Frontier, after: Frontier, steps: tuple[Step, Step], parts: tuple[Part, Part], kept: KeptPlaces
) -> Use:
    """The use of a weight whose products stay inside of its layer.

    Args:
        before: Values in the original.
        after: Values in the smaller model.
        steps: The use of the layer in both.
        parts: The weight in both.
        kept: What the smaller model has of it.
    """
    (target, step), (original, small) = steps, parts
    wanted = reading_of(before, target, original, TargetProducts(original.view, small.view, kept))
    if small.states is None:
        return Use(step, Tail(step), target.outputs[0], reading_of(after, step, small), wanted)
    shape = tuple(original.view.weight.shape)
    left = kept.along(shape, small.states % len(shape))
    axis = channel_axis(small)
    return Use(
        step,
        Tail(step),
        target.outputs[0],
        reading_of(before, target, original, lambda states: states.take(left, axis)),
        wanted,
    )


def channel_axis(part: Part) -> int:
    """The axis of the states, as they are recorded, that their channels lie along."""
    first = getattr(part.view.layer, "data_format", "channels_last") == "channels_first"
    return 2 if first else -1  # after samples and steps


class OutputsError:
    """How far the outputs of a layer are from the original's, squared and relative to these, summed over its outputs.

    Args:
        before: Values in the original.
        after: Values in the smaller model.
        steps: All uses of the layer in both.
        cut: What is kept of the original's tensors.
        batches: Inputs for both.
        counted: Which positions of the outputs count. Defaults to None: all of them.

    Attributes:
        value: The error as it was measured last.
    """

    def __init__(
        self,
        before: Frontier,
        after: Frontier,
        steps: Sequence[tuple[Step, Step]],
        cut: Cut,
        batches: Iterable[Any],
        counted: Counted | None = None,
    ):
        self._batches, self._cut, self._counted = batches, cut, counted
        self._tensors = [tensor for target, _ in steps for tensor, _ in target.outputs]
        self._whole, self._targets = before, [twin for target, _ in steps for _, twin in target.outputs]
        self._small, self._outputs = after, [twin for _, step in steps for _, twin in step.outputs]
        self.value = self.measure()

    def measure(self) -> float:
        """Measure it again."""
        errors, whole = np.zeros(len(self._tensors)), np.zeros(len(self._tensors))
        for number, (x, *_) in enumerate(self._batches):
            counted = None if self._counted is None else self._counted[number]
            targets, found = self._whole.values(self._targets, x), self._small.values(self._outputs, x)
            for index, tensor in enumerate(self._tensors):
                target = self._cut(tensor, targets[index]).astype(np.float64)
                small = found[index]
                if counted is not None and target.shape[: counted.ndim] == counted.shape:
                    target, small = target[counted], small[counted]
                errors[index] += np.square(small - target).sum()
                whole[index] += np.square(target).sum()
        self.value = float((errors / np.maximum(whole, 1e-30)).sum())
        return self.value


class Kepts:
    """What the smaller model has of the weights of the original, by their copies.

    Args:
        before: The flat copy of the original.
        original: The original.
        kept_of: What is kept of a weight of it.
    """

    def __init__(self, before: Runnable, original: keras.Model, kept_of: Callable[[keras.Variable], KeptPlaces]):
        self._variables = {id(before.twins[id(each)]): each for each in original.variables if id(each) in before.twins}
        self._kept_of = kept_of

    def of(self, twin: keras.Variable, small: keras.Variable) -> KeptPlaces | None:
        """What is kept of a weight; None if that is not all that the smaller one has.

        Args:
            twin: The weight in the copy of the original.
            small: The weight of the smaller model.
        """
        variable = self._variables.get(id(twin))
        kept = None if variable is None else self._kept_of(variable)
        return kept if kept is not None and kept.places.shape == tuple(small.shape) else None


class Backup:
    """The values of variables, to be set again.

    Args:
        variables: The variables.
    """

    def __init__(self, variables: Iterable[keras.Variable]):
        self._values = [(each, np.array(_keras.as_numpy(each))) for each in variables]

    def set(self) -> None:
        """Set them."""
        for variable, values in self._values:
            variable.assign(values)

    def now(self) -> "Backup":
        """The values that the same variables have now."""
        return Backup(variable for variable, _ in self._values)


def restore(backups: Sequence[Backup]) -> None:
    """Set values that were kept one after the other: a variable in several of them has its first value again."""
    for each in reversed(backups):
        each.set()


@contextlib.contextmanager
def restored(backups: Sequence[Backup]) -> Iterator[None]:
    """While this holds, the variables have the values that `restore` sets."""
    now = [each.now() for each in backups]
    restore(backups)
    try:
        yield
    finally:
        restore(now)
