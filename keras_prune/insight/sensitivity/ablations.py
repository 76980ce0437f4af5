"""Ablations of a scan for sensitivity: part of the weights of a layer, or of the channels of a group, removed for as
long as one evaluation takes."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune import importance as importances
from keras_prune.channels.groups import ChannelAnalysis, analyze_channels
from keras_prune.channels.limits import Limits
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.rebuild import rebuild
from keras_prune.channels.removal_order import RemovalOrder
from keras_prune.channels.scores import ChannelImportance, score_groups
from keras_prune.masking.holders import own_weights
from keras_prune.masking.masked_weights import MaskedWeight, find_masked, walk_layers
from keras_prune.masking.prunable import Prunable
from keras_prune.masking.wrapping import add_masks, prunable_paths
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.measurement.flat_copy import make_runnable
from keras_prune.measurement.weight_statistics import ModelStatistics, SingleWeights
from keras_prune.patterns import exact_pattern
from keras_prune.selection import Candidate, Percentile
from keras_prune.weights.rule import PruningRule


@dataclasses.dataclass(frozen=True)
class Unit:
    """Layer or channel group that is pruned alone.

    Args:
        name: Path of a layer, or name of a channel group.
        size: Its prunable weights, or its channels.
        patterns: The name patterns by which `targets` or `ratios` mean just this.
        paths: The paths of its layers.
    """

    name: str
    size: int
    patterns: tuple[str, ...]
    paths: tuple[str, ...]


class WeightScan:
    """Copy of a model in which weights of one layer are zeroed, as `prune_weights(model, targets={layer: ratio})` does.

    Args:
        model: It is only read.
        importance: As in `prune_weights`.
        data: Likewise.
        loss: Likewise.

    Attributes:
        running: The copy.
        units: Its layers.
    """

    def __init__(self, model: keras.Model, importance: Any, data: Any, loss: Any):
        paths = prunable_paths(model)
        PruningRule(Percentile(), importance, {}, False).check_data(data)
        if _keras.is_graph(model):
            scored = model if find_masked(model) else add_masks(model)
            copy, self.running = copy_to_measure(scored)
        else:
            copy, self.running = copy_to_measure(model)
            scored = copy if find_masked(copy) else add_masks(copy)  # in place
        owned = own_weights(walk_layers(model))
        frozen = {f"{path}/{name}" for path, _, own in owned for name in _frozen(own)}
        self._twins: dict[str, list[tuple[MaskedWeight, MaskedWeight]]] = {}
        for weight, twin in zip(find_masked(scored), find_masked(copy), strict=True):
            if weight.path not in frozen:
                self._twins.setdefault(weight.layer, []).append((weight, twin))
        self.units = [
            Unit(path, sum(weight.size for weight, _ in pairs), (exact_pattern(path, paths),), (path,))
            for path, pairs in self._twins.items()
        ]
        self._score = importances.weight_scorer(importance)
        self._statistics = ModelStatistics(scored, data, loss, compiled=model)
        self._scores: dict[str, np.ndarray] = {}  # of the layer that is pruned now

    @contextmanager
    def without(self, unit: Unit, ratio: float) -> Iterator[keras.Model]:
        """Zero a part of a layer's weights; yield the model to evaluate, and restore the weights."""
        pairs = self._twins[unit.name]
        if not set(self._scores) <= {weight.path for weight, _ in pairs}:
            self._scores = {}
        whole = [np.array(_keras.as_numpy(twin.weight)) for _, twin in pairs]
        kept = [self._keep(weight, ratio) for weight, _ in pairs]
        try:
            for (_, twin), values, keep in zip(pairs, whole, kept, strict=True):
                twin.weight.assign(np.where(keep, values, np.zeros_like(values)))
            yield self.running
        finally:
            for (_, twin), values in zip(pairs, whole, strict=True):
                twin.weight.assign(values)

    def _keep(self, weight: MaskedWeight, ratio: float) -> np.ndarray:
        """The mask of a weight at this ratio."""
        unit = SingleWeights(weight)
        if weight.path not in self._scores:
            self._scores[weight.path] = self._score(unit, self._statistics)
        candidate = Candidate(
            unit.values,
            lambda values: np.array(self._scores[weight.path]),  # a selection writes in what it gets
            weight.kept(),
            weight.axes,
        )
        (kept,) = Percentile().select([lambda: candidate], ratio, 0)
        return kept


class ChannelScan:
    """Copy of a model without some channels of one group, as `prune_channels(model, ratios={producer: ratio})` does.

    Zeros where the channels are inputs give the same outputs as the smaller model; where the rules are not exact, the
    smaller model is built.

    Args:
        model: It is only read.
        importance: As in `prune_channels`.
        data: Likewise.
        loss: Likewise.

    Attributes:
        running: The copy.
        units: Its channel groups.
    """

    def __init__(self, model: keras.Model, importance: Any, data: Any, loss: Any):
        score = importance if isinstance(importance, ChannelImportance) else ChannelImportance(importance)
        self._analysis = analyze_channels(model)
        model = self._analysis.trace.model
        self._groups = {group.name: group for group in self._analysis.groups}
        self.units = channel_units(self._analysis)
        self._scores = score_groups(self._analysis, score, model, data, loss)
        copy = make_runnable(self._analysis.trace.model, self._analysis.trace.names)
        self.running, self._twins = copy.model, copy.twins

    @contextmanager
    def without(self, unit: Unit, ratio: float) -> Iterator[keras.Model]:
        """Remove a part of a group's channels; yield the model to evaluate, and restore them."""
        limits = Limits(ratios=dict.fromkeys(unit.patterns, ratio))
        plan = RemovalOrder(self._analysis, limits, self._scores).plan(0)
        found = self._analysis.trace.found
        if found.readers or any(self._groups[name].inexact for name in plan.removed):
            small = rebuild(self._analysis.trace, plan.keep(self._analysis))
            yield copy_to_measure(small)[1]
            return
        whole, zeroed = self._slices(plan)
        try:
            self._assign(zeroed)
            yield self.running
        finally:
            self._assign(whole)

    def _slices(self, plan: ChannelPlan) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
        """The weights that the channels are inputs of, by identity: as they are, and with zeros there."""
        whole: dict[int, np.ndarray] = {}
        zeroed: dict[int, np.ndarray] = {}
        for name, places in plan.removed.items():
            group = self._groups[name]
            removed = group.channels[list(places)]
            for member in group.members:
                if not member.mutes:
                    continue
                key = id(member.weight)
                if key not in whole:
                    whole[key] = np.array(_keras.as_numpy(member.weight))
                    zeroed[key] = whole[key].copy()
                np.moveaxis(zeroed[key], member.axis, 0)[np.isin(member.labels, removed)] = 0
        return whole, zeroed

    def _assign(self, values: Mapping[int, np.ndarray]) -> None:
        """Write these values into the copy."""
        for key, array in values.items():
            self._twins[key].assign(array)


Scan = WeightScan | ChannelScan


def channel_units(analysis: ChannelAnalysis) -> list[Unit]:
    """Return the channel groups that `ratios` can tell apart. Groups of the same layers, such as the heads of an
    attention and their dimensions, are one unit, named without the kind of channel."""
    groups = [group for group in analysis.groups if not group.frozen]
    paths = [path for group in analysis.groups for path in group.producers]
    owners: dict[str, set[int]] = {}
    for index, group in enumerate(groups):
        for path in group.producers:
            owners.setdefault(path, set()).add(index)
    keys = [min(group.producers, key=lambda path: len(owners[path])) for group in groups]
    unit = list(range(len(groups)))  # the first group of the unit that each group is in
    for key in keys:
        joined = {unit[index] for index in owners[key]}
        unit = [min(joined) if each in joined else each for each in unit]
    found = []
    for first in sorted(set(unit)):
        members = [index for index, each in enumerate(unit) if each == first]
        name = groups[first].name if len(members) == 1 else groups[first].name.split(":")[0]
        patterns = dict.fromkeys(exact_pattern(keys[index], paths) for index in members)
        producers = dict.fromkeys(path for index in members for path in groups[index].producers)
        found.append(Unit(name, sum(groups[index].size for index in members), tuple(patterns), tuple(producers)))
    return found


def _frozen(own: Prunable) -> list[str]:
    """The names of a layer's prunable weights that are not trained."""
    return [name for name, weight in own.weights.items() if not weight.trainable]
