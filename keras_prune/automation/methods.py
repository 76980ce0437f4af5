"""The methods of a search: removing channels, and setting single weights to zero."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_prune.automation.allocate import Allocation, GreedyPath, UniformPath, greedy_path
from keras_prune.channels.carry_out import left_of_all
from keras_prune.channels.groups import analyze_channels
from keras_prune.channels.limits import Limits
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.removal_order import RemovalOrder
from keras_prune.channels.request import ChannelRequest
from keras_prune.channels.same_classes import carry_out
from keras_prune.channels.scores import ChannelImportance, score_groups
from keras_prune.costs.budget import Budget, count_costs
from keras_prune.costs.counting import costs_of_trace
from keras_prune.insight.sensitivity.ablations import Unit
from keras_prune.insight.sensitivity.scan import Kind, Sensitivity
from keras_prune.tracing.kept_channels import Kept
from keras_prune.weights.prune import prune_weights

Measure = Literal["params", "macs"]
LEVELS: dict[Kind, tuple[float, ...]] = {
    "channels": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "weights": (0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98),
}


class Channels:
    """Method that removes filters, units and heads.

    Args:
        model: The model that the method begins with. It is not changed.
        units: Its channel groups.
        measure: The cost to reduce: `"params"` or `"macs"`.
    """

    def __init__(self, model: keras.Model, units: Sequence[Unit], measure: Measure):
        self._analysis = analyze_channels(model)
        self._scores = score_groups(self._analysis, ChannelImportance("l2"), model)
        self._costs = costs_of_trace(self._analysis.trace)
        self._whole = left_of_all(self._costs, self._analysis)[measure] or 1
        self._measure = measure
        self._sizes = {group.name: group.size for group in self._analysis.groups}
        self._patterns = {unit.name: unit.patterns for unit in units}
        self.uniform = UniformPath(tuple(self._patterns), LEVELS["channels"][-1])

    def left(self, allocation: Allocation) -> float:
        """The part of the parameters, or MACs, that an allocation leaves."""
        kept = Kept(self._plan(allocation).keep(self._analysis))
        return (count_costs(self._costs, kept)[self._measure] or 1) / self._whole

    def removed(self, allocation: Allocation) -> Hashable:
        """What an allocation removes: equal for two that give the same model."""
        return tuple(sorted(self._plan(allocation).removed.items()))

    def prune(self, model: keras.Model, allocation: Allocation, compensate: Any = None) -> keras.Model:
        """A smaller model. It may have lost channels before; ratios are of what the method began with.

        Args:
            model: The model.
            allocation: Which fraction of each group is missing then.
            compensate: As `prune_channels` takes it. Defaults to None: the weights that are kept stay as they are.
        """
        asked = {"ratios": self._ratios(allocation), "compensate": compensate, "original": self._sizes}
        return carry_out(model, ChannelRequest(0.0, **asked)).model

    def _plan(self, allocation: Allocation) -> ChannelPlan:
        return RemovalOrder(self._analysis, Limits(ratios=self._ratios(allocation)), self._scores).plan(0)

    def _ratios(self, allocation: Allocation) -> dict[str, float]:
        return {pattern: ratio for name, ratio in allocation.items() for pattern in self._patterns[name]}


class Weights:
    """Method that sets single weights to zero, those of the lowest magnitude first.

    Args:
        units: The layers of the model that the method begins with, which has no masks.
    """

    def __init__(self, units: Sequence[Unit]):
        self._sizes = {unit.name: unit.size for unit in units}
        self._patterns = {unit.name: unit.patterns for unit in units}
        self.uniform = UniformPath(tuple(self._patterns), LEVELS["weights"][-1])

    def left(self, allocation: Allocation) -> float:
        """Return the fraction of the prunable weights that an allocation keeps."""
        gone = sum(ratio * self._sizes[name] for name, ratio in allocation.items())
        return 1 - gone / sum(self._sizes.values())

    def removed(self, allocation: Allocation) -> Hashable:
        """What an allocation removes: equal for two that give the same model."""
        return tuple(round(allocation.get(name, 0.0) * size) for name, size in self._sizes.items())

    def prune(self, model: keras.Model, allocation: Allocation, compensate: Any = None) -> keras.Model:
        """Return a model with masks. Zeros of `model` are pruned first: ratios only rise, so they are kept zero.

        Args:
            model: The model.
            allocation: Which fraction of each layer is pruned then.
            compensate: Not used: the layers that read channels are compensated.
        """
        targets = {pattern: ratio for name, ratio in allocation.items() for pattern in self._patterns[name]}
        return prune_weights(model, 0.0, targets=targets)


Method = Channels | Weights


def make_method(kind: Kind, model: keras.Model, units: Sequence[Unit], measure: Measure) -> Method:
    """Return the method of this kind, for the layers or channel groups of the model that it begins with."""
    return Channels(model, units, measure) if kind == "channels" else Weights(units)


def greedy(method: Method, found: Sensitivity) -> GreedyPath:
    """Return the path that the sensitivity suggests."""
    gains = {curve.name: [1 - method.left({curve.name: ratio}) for ratio in found.levels] for curve in found.curves}
    return greedy_path(found, gains)


def nonzeros(model: keras.Model) -> int:
    """Return the number of nonzero weights of a plain model."""
    return sum(int(np.count_nonzero(keras.ops.convert_to_numpy(weight.value))) for weight in model.weights)


def costs_of(model: keras.Model, budget: Budget | None = None) -> dict[str, int | None]:
    """Return parameters, bytes and MACs of a plain model.

    Raises:
        ValueError: The budget is of MACs, and those of an operation are unknown; the message names it.
    """
    analysis = analyze_channels(model)
    counted = costs_of_trace(analysis.trace)
    costs = left_of_all(counted, analysis)
    if budget is not None:
        budget.targets(costs, counted.unknown)
    return costs
