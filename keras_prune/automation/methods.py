"""The methods of a search: removing channels, and setting single weights to zero."""

from collections.abc import Callable
from typing import Literal

import keras
import numpy as np

from keras_prune.automation.allocate import Allocation, GreedyPath, greedy_path
from keras_prune.channels.groups import analyze_channels
from keras_prune.channels.limits import Limits
from keras_prune.channels.prune import carry_out, left_of_all
from keras_prune.channels.removal_order import RemovalOrder
from keras_prune.channels.request import ChannelRequest
from keras_prune.channels.scores import ChannelImportance, score_groups
from keras_prune.costs.budget import Budget, count_costs
from keras_prune.costs.counting import costs_of_trace
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
        found: The sensitivity of its channel groups.
        measure: The cost to reduce: `"params"` or `"macs"`.
    """

    def __init__(self, model: keras.Model, found: Sensitivity, measure: Measure):
        self._analysis = analyze_channels(model)
        self._scores = score_groups(self._analysis, ChannelImportance("l2"), model)
        self._costs = costs_of_trace(self._analysis.trace)
        self._whole = left_of_all(self._costs, self._analysis)[measure] or 1
        self._measure = measure
        self._sizes = {group.name: group.size for group in self._analysis.groups}
        self._patterns = {curve.name: curve.patterns for curve in found.curves}
        self.path = _path(found, self.left)

    def left(self, allocation: Allocation) -> float:
        """The part of the parameters, or MACs, that an allocation leaves."""
        limits = Limits(ratios=self._ratios(allocation))
        plan = RemovalOrder(self._analysis, limits, self._scores).plan(0)
        return (count_costs(self._costs, Kept(plan.keep(self._analysis)))[self._measure] or 1) / self._whole

    def prune(self, model: keras.Model, allocation: Allocation) -> keras.Model:
        """A smaller model. It may have lost channels before; ratios are of what the method began with."""
        return carry_out(model, ChannelRequest(0.0, ratios=self._ratios(allocation), original=self._sizes)).model

    def _ratios(self, allocation: Allocation) -> dict[str, float]:
        return {pattern: ratio for name, ratio in allocation.items() for pattern in self._patterns[name]}


class Weights:
    """Method that sets single weights to zero, those of the lowest magnitude first.

    Args:
        model: The model that the method begins with, of plain layers. It is not changed.
        found: The sensitivity of its layers.
    """

    def __init__(self, model: keras.Model, found: Sensitivity):
        self._sizes = {curve.name: curve.size for curve in found.curves}
        self._patterns = {curve.name: curve.patterns for curve in found.curves}
        self.path = _path(found, self.left)

    def left(self, allocation: Allocation) -> float:
        """Return the fraction of the prunable weights that an allocation keeps."""
        gone = sum(ratio * self._sizes[name] for name, ratio in allocation.items())
        return 1 - gone / sum(self._sizes.values())

    def prune(self, model: keras.Model, allocation: Allocation) -> keras.Model:
        """Return a model with masks. Zeros of `model` are pruned first: ratios only rise, so they are kept zero."""
        targets = {pattern: ratio for name, ratio in allocation.items() for pattern in self._patterns[name]}
        return prune_weights(model, 0.0, targets=targets)


Method = Channels | Weights


def make_method(kind: Kind, model: keras.Model, found: Sensitivity, measure: Measure) -> Method:
    """Return the method of this kind."""
    return Channels(model, found, measure) if kind == "channels" else Weights(model, found)


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


def _path(found: Sensitivity, left: Callable[[Allocation], float]) -> GreedyPath:
    gains = {curve.name: [1 - left({curve.name: ratio}) for ratio in found.levels] for curve in found.curves}
    return greedy_path(found, gains)
