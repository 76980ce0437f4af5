"""What follows a weight: the part of the graph through which its products can be fitted to something that matters more.

Behind a convolution often stand a normalisation with fixed statistics, which is a scale and a shift for each channel,
and a sum with a shortcut. Both can be undone. So the weights are fitted to the sum less the shortcut that the smaller
model has now: they make up for the errors of the other branch. Where a ReLU follows, values below zero do not matter.
"""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.measurement.flat_copy import Runnable, Step

ADDITIONS = (keras.layers.Add, *_keras.operation_classes("numpy.Add"))
_SOFTMAX = (keras.layers.Softmax, *_keras.operation_classes("nn.Softmax"))
_RELU = (keras.layers.ReLU, *_keras.operation_classes("nn.Relu", "nn.Relu6"))


@dataclasses.dataclass(frozen=True, eq=False)
class Tail:
    """What is fitted behind one use of a weight.

    Args:
        step: The step whose result the original gives as a target.
        before_activation: Whether the target is that before the activation of the step itself.
        norm: The BatchNormalization behind the products. Defaults to None.
        others: The other terms of a sum, tensors of the smaller model. Defaults to none.
        limits: Between which values the result matters, for a ReLU comes next. Defaults to None: everywhere.
        activation: The step of that ReLU, if it is a layer or operation of its own. Defaults to None.
        softmax: Whether a softmax over the last axis comes next. Defaults to False.
    """

    step: Step
    before_activation: bool = False
    norm: keras.layers.BatchNormalization | None = None
    others: tuple[Any, ...] = ()
    limits: tuple[float, float] | None = None
    activation: Step | None = None
    softmax: bool = False

    def scale_and_shift(self) -> tuple[np.ndarray | float, np.ndarray | float]:
        """What the normalisation makes of a product y: `scale * y + shift`."""
        if self.norm is None:
            return 1.0, 0.0
        norm = self.norm
        mean, variance = (_keras.as_numpy(each).astype(np.float64) for each in (norm.moving_mean, norm.moving_variance))
        scale = 1.0 / np.sqrt(variance + norm.epsilon)
        scale = scale * _keras.as_numpy(norm.gamma) if norm.scale else scale
        return scale, (_keras.as_numpy(norm.beta) if norm.center else 0.0) - mean * scale


class Flow:
    """Who makes and who reads each tensor of a flat model, and when the weights of each step are fitted.

    Args:
        model: The flat model.

    Attributes:
        settled: By position of a step when its weights are fitted, -1 for those that are not: set this before `tail`.
    """

    def __init__(self, model: Runnable):
        self.settled: Sequence[int] = []
        self._outputs = {id(tensor) for tensor in keras.tree.flatten(model.model.outputs)}
        self._makers: dict[int, int] = {}
        self._readers: dict[int, list[Step]] = {}
        self._steps = model.steps
        self._uses = collections.Counter(id(step.operation) for step in model.steps)
        for index, step in enumerate(model.steps):
            self._makers.update((id(tensor), index) for _, tensor in step.outputs)
            for _, tensor in step.inputs:
                self._readers.setdefault(id(tensor), []).append(step)

    def tail(self, index: int, sums: bool = True) -> Tail:
        """What is fitted behind the weights of a step.

        Args:
            index: Its position.
            sums: Whether sums are. Defaults to True.
        """
        step = self._steps[index]
        made = step.outputs[0][1]
        if step.before_activation is not None:
            own = _keras.made_by(made)
            assert own is not None
            return Tail(step, True, limits=_limits(own[0]), softmax=_is_softmax(own[0]))
        norm, others = None, ()
        scale, addition = self._behind(made)
        if scale is not None:
            norm, step, made = scale.operation, scale, scale.outputs[0][1]
        if sums and addition is not None:
            terms = [tensor for _, tensor in addition.inputs if tensor is not made]
            if all(self._is_done(each, self.settled[index]) for each in terms):
                others, step, made = tuple(terms), addition, addition.outputs[0][1]
        reader = self._only_reader(made)
        limits = None if reader is None else _limits(reader.operation)
        softmax = reader is not None and _is_softmax(reader.operation)
        return Tail(step, False, norm, others, limits, None if limits is None else reader, softmax)

    def scales(self, indices: Iterable[int]) -> set[int]:
        """The normalisations that are fitted together with the weights of these steps, before them: by identity.

        Args:
            indices: The positions of the steps.
        """
        steps = (self._steps[index] for index in indices)
        found = (self._behind(step.outputs[0][1])[0] for step in steps if step.before_activation is None)
        return {id(each.operation) for each in found if each is not None}

    def order(self, indices: Sequence[int], inputs: Sequence[int]) -> list[int]:
        """The order in which to fit steps: as they are computed, but of the terms of a sum those with most inputs last.

        So it is they that make up for the others.

        Args:
            indices: The positions of the steps.
            inputs: How many inputs each has.
        """
        position = {index: float(index) for index in indices}
        terms: dict[int, list[tuple[int, int]]] = {}
        for index, width in zip(indices, inputs, strict=True):
            step = self._steps[index]
            addition = None if step.before_activation is not None else self._behind(step.outputs[0][1])[1]
            if addition is not None:
                terms.setdefault(id(addition), []).append((width, index))
        for each in terms.values():
            position[max(each)[1]] = max(index for _, index in each) + 0.5
        return sorted(indices, key=lambda index: position[index])

    def _behind(self, made: Any) -> tuple[Step | None, Step | None]:
        """The normalisation and the sum, of tensors of the same shape, that products go through, if they do."""
        reader, scale = self._only_reader(made), None
        if reader is not None and self._is_scale(reader.operation, made):
            scale, made = reader, reader.outputs[0][1]
            reader = self._only_reader(made)
        if reader is None or not isinstance(reader.operation, ADDITIONS):
            return scale, None
        terms = [tensor for _, tensor in reader.inputs if tensor is not made]
        alike = all(tuple(tensor.shape) == tuple(made.shape) for tensor in terms)
        return scale, reader if terms and len(terms) == len(reader.inputs) - 1 and alike else None

    def _only_reader(self, tensor: Any) -> Step | None:
        readers = self._readers.get(id(tensor), [])
        return readers[0] if len(readers) == 1 and id(tensor) not in self._outputs else None

    def _is_scale(self, operation: Any, tensor: Any) -> bool:
        """Whether this is a scale and a shift of each channel, channels last, and nothing else goes through it."""
        if not isinstance(operation, keras.layers.BatchNormalization) or self._uses[id(operation)] > 1:
            return False
        return operation.axis in (-1, len(tensor.shape) - 1)

    def _is_done(self, tensor: Any, when: int) -> bool:
        """Whether a tensor depends on no weights that are fitted then, or later."""
        todo, seen = [tensor], set()
        while todo:
            maker = self._makers.get(id(todo.pop()))
            if maker is None or maker in seen:
                continue
            seen.add(maker)
            if self.settled[maker] >= when:
                return False
            todo += [given for _, given in self._steps[maker].inputs]
        return True


def _is_softmax(operation: Any) -> bool:
    """Whether this is a softmax over the last axis."""
    if isinstance(operation, keras.layers.Activation):
        return operation.activation is keras.activations.softmax
    return isinstance(operation, _SOFTMAX) and operation.axis == -1


def _limits(operation: Any) -> tuple[float, float] | None:
    """Outside of which values an activation is constant; None for others."""
    if isinstance(operation, keras.layers.Activation):
        function = operation.activation
        if function is keras.activations.relu:
            return 0.0, np.inf
        return (0.0, 6.0) if function is keras.activations.relu6 else None
    if isinstance(operation, keras.layers.ReLU):
        plain = not operation.negative_slope and not operation.threshold
        return (0.0, operation.max_value if operation.max_value is not None else np.inf) if plain else None
    if isinstance(operation, _RELU):
        return 0.0, 6.0 if "6" in type(operation).__name__ else np.inf
    return None
