"""Groups of weights that are pruned alike: those of the layers with one schedule and one selection."""

import bisect
import dataclasses
from typing import Any

import keras

from keras_prune.masking.masked_weights import MaskedWeight, find_masked, walk_layers
from keras_prune.selection import Selection
from keras_prune.tfmot.schedules import PruningSchedule
from keras_prune.tfmot.wrapper import PruneLowMagnitude
from keras_prune.validation import check_sparsity


@dataclasses.dataclass
class Group:
    """The weights of the layers that have one schedule and one selection, and what was due so far."""

    schedule: PruningSchedule
    selection: Selection
    weights: list[MaskedWeight]
    asked: int | None = None  # the step up to which a custom schedule was called
    yes: list[int] = dataclasses.field(default_factory=list)  # the steps at which it wants to prune

    def due(self, step: int, start: int) -> int | None:
        """The last step from `start` to `step` at which the masks change; None: none yet."""
        if hasattr(self.schedule, "due"):
            return self.schedule.due(step)
        first = start if self.asked is None else self.asked + 1
        self.yes += [each for each in range(first, step + 1) if self.schedule(each)[0]]
        self.asked = max(first - 1, step)
        position = bisect.bisect_right(self.yes, step)
        return self.yes[position - 1] if position else None

    def sparsity(self, step: int) -> float:
        """The sparsity of the schedule at this step, and at most that of the selection."""
        now = check_sparsity(self.schedule(step)[1], f"pruning_schedule({step})")
        most = self.selection.max_sparsity
        return now if most is None else min(now, most)


def group_weights(model: keras.Model) -> list[Group]:
    """The groups of a model's masked weights.

    Raises:
        ValueError: A layer has masks but no schedule, or a weight that its blocks or pattern cannot prune.
    """
    layers = dict(walk_layers(model))
    groups: dict[Any, Group] = {}
    for weight in find_masked(model):
        layer = layers[weight.layer]
        if not isinstance(layer, PruneLowMagnitude):
            raise ValueError(
                "UpdatePruningStep prunes layers from `prune_low_magnitude`, which have a schedule. For masks from "
                f"`wrap_pruning` take `keras_prune.PruningSchedule`. Received: the layer '{weight.layer}'"
            )
        try:
            layer.selection.check_weight(weight.path, tuple(weight.weight.shape), weight.axes)
        except ValueError as error:  # which speaks of the arguments of `PruningSchedule`
            raise ValueError(
                "A layer's blocks or m-by-n pattern cannot prune it: wrap the layers that they fit, one by one, by a "
                f"`clone_function` or a `pruning_policy`. {error}"
            ) from error
        key = (id(layer.pruning_schedule), layer.selection)
        groups.setdefault(key, Group(layer.pruning_schedule, layer.selection, [])).weights.append(weight)
    return list(groups.values())
