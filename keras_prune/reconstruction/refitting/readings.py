"""What a weight reads in a batch: a tensor of a flat model, or what is recorded inside of one of its layers."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_prune.graph.stateful import states_untouched
from keras_prune.measurement.flat_copy import Step
from keras_prune.measurement.layer_inputs import input_hooks
from keras_prune.measurement.predict_batch import predict_batch
from keras_prune.reconstruction.refitting.frontier import Frontier
from keras_prune.reconstruction.refitting.step_parts import Part

Compute = Callable[[Any], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """Values that are computed of each batch.

    Args:
        tensor: A tensor of the flat model, whose value they are. Defaults to None.
        inside: Computes them of a batch, if they are no tensor. Defaults to None.
        change: What is made of them. Defaults to None: they are taken as they are.
    """

    tensor: Any = None
    inside: Compute | None = None
    change: Callable[[np.ndarray], np.ndarray] | None = None

    def values(self, x: Any, tensor: np.ndarray | None) -> np.ndarray:
        """The values.

        Args:
            x: The batch.
            tensor: The value of the tensor, if there is one.
        """
        found = tensor if self.inside is None else self.inside(x)
        assert found is not None
        return found if self.change is None else self.change(found)


def reading_of(model: Frontier, step: Step, part: Part, change: Any = None) -> Reading:
    """What a weight reads.

    Args:
        model: Values of the flat model.
        step: The use of the layer there.
        part: The weight.
        change: As `Reading` takes it.
    """
    if part.reads is not None:
        return Reading(part.reads, change=change)
    return Reading(inside=_recorder(model, step, part), change=change)


def _recorder(model: Frontier, step: Step, part: Part) -> Compute:
    begin = list({id(tensor): tensor for _, tensor in step.inputs}.values())
    if not all(map(model.can_begin, begin)):
        begin = model.model.inputs
    layer = keras.Model(begin, [tensor for _, tensor in step.outputs])
    layer.run_eagerly = True  # hooks see values, not what a compiler traces

    def compute(x: Any) -> np.ndarray:
        found: list[np.ndarray] = []
        hooks = {id(part.recorder): {part.view.name: lambda given, _: found.append(np.array(given))}}  # it may be lent
        given = model.values(begin, x)
        with states_untouched(layer), input_hooks(layer, hooks):
            predict_batch(layer, given)
        return found[-1]  # earlier ones are of earlier uses

    return compute
