"""What of the original each tensor of the smaller model stands for.

In a model with fewer layers a tensor takes the place of what came out of those that are missing. So the layer that
makes it can be fitted to that, rather than to what it made before. (For whole blocks of transformers: Shopkhoev et al.
2025, "ReplaceMe: Network simplification via depth pruning and transformer block linearization".)
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_prune.measurement.flat_copy import Runnable, Step
from keras_prune.reconstruction.refitting.tails import Tail

Target = tuple[Any, Any]
"""A tensor of the original, and that of its flat copy."""


class StandIns:
    """The targets of the layers of a smaller model.

    Args:
        before: The original.
        after: The smaller model.
        matches: For each of its steps that of the original; None where there is none.
    """

    def __init__(self, before: Runnable, after: Runnable, matches: Sequence[Step | None]):
        self._matches: dict[int, Step] = {}
        self._own: dict[int, Target] = {}
        self._read: dict[int, dict[int, Target]] = {}
        self._steps = list(zip(after.steps, matches, strict=True))
        for step, match in self._steps:
            if match is not None:
                for (_, tensor), target in zip(step.outputs, match.outputs, strict=True):
                    self._matches[id(tensor)], self._own[id(tensor)] = match, target
        old, new = (keras.tree.flatten(each.model.inputs) for each in (before, after))
        self._own.update((id(tensor), (whole, whole)) for tensor, whole in zip(new, old, strict=True))
        for step, match in self._steps:
            for place, (_, tensor) in enumerate(step.inputs):
                alike = match is not None and len(match.inputs) == len(step.inputs)
                self._note(tensor, match.inputs[place] if match is not None and alike else None)
        made = {id(tensor): (whole, tensor) for step in before.steps for whole, tensor in step.outputs}
        old, new = (keras.tree.flatten(each.model.outputs) for each in (before, after))
        for tensor, whole in zip(new, old, strict=True):
            self._note(tensor, made.get(id(whole)))

    def target(self, tail: Tail) -> Target | None:
        """What the step of a tail should give; None if the original has no such step.

        Args:
            tail: Of the smaller model.
        """
        made = tail.step.outputs[0][1]
        match = self._matches.get(id(made))
        if match is None:
            return None
        places = [made, *([] if tail.activation is None else [tail.activation.outputs[0][1]])]
        for tensor in places if tail.limits is not None or not tail.before_activation else ():
            other = self._other(tensor)
            if other is not None:
                return other
        whole, copy = match.outputs[0]
        return whole, match.before_activation if tail.before_activation else copy

    def changed(self) -> list[bool]:
        """For each step of the smaller model whether something before it is missing, or may be."""
        found: set[int] = set()
        changes = []
        for step, match in self._steps:
            fewer = match is None or len(match.inputs) != len(step.inputs)
            reads = [tensor for _, tensor in step.inputs]
            changes.append(fewer or any(id(each) in found or self._other(each) is not None for each in reads))
            if changes[-1]:
                found.update(id(tensor) for _, tensor in step.outputs)
        return changes

    def _note(self, tensor: Any, target: Target | None) -> None:
        """Notes what a reader of a tensor reads in the original; None: that is unknown, so it must be its own."""
        target = self._own.get(id(tensor)) if target is None else target
        if target is not None:
            self._read.setdefault(id(tensor), {})[id(target[1])] = target

    def _other(self, tensor: Any) -> Target | None:
        """What all readers of a tensor read in the original, if that is something else than was made there."""
        own, read = self._own.get(id(tensor)), list(self._read.get(id(tensor), {}).values())
        if own is None or len(read) != 1 or read[0][1] is own[1]:
            return None
        return read[0]
