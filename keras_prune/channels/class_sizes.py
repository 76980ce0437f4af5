"""Which channels the sizes in configurations of composites are, and an analysis of which only they can be removed."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune.channels.composite_rule import CompositeRule, Size
from keras_prune.channels.composites import find_composite
from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.channels.remake import Changes, remake
from keras_prune.channels.size_steps import Steps, ways_of
from keras_prune.expansion.report import weights_of
from keras_prune.tracing.labels import FIXED

Axis = tuple[int, int]  # the place of a weight among those of the model, and which of its axes


@dataclasses.dataclass(frozen=True, eq=False)
class ClassSize:
    """Numbers in the configuration of a composite that become smaller together, and what they count.

    Args:
        layer: The composite.
        key: The key of its configuration; of several the first.
        steps: How they become smaller.
        channels: The number of channels of each group.
        groups: The groups of channels that all have this number, by name.
        also: Further entries of the configuration that are written when they become smaller.
    """

    layer: keras.Layer
    key: str
    steps: Steps
    channels: int
    groups: tuple[str, ...]
    also: Mapping[str, Any]

    def smaller(self, channels: int) -> dict[str, Any]:
        """The entries of the configuration that mean so many channels."""
        if channels == self.channels:
            return self.steps.entries(self.steps.count)
        return {**self.steps.entries(self.steps.count // self.channels * channels), **self.also}


def find_sizes(
    model: keras.Model, composites: Sequence[keras.Layer], analysis: ChannelAnalysis
) -> tuple[list[ClassSize], dict[str, str]]:
    """Return the sizes that can be smaller, and why others cannot, by the names of the composite and the key.

    Args:
        model: The model.
        composites: The layers in it that have a rule.
        analysis: The channels of the model, or of what it was written out as.

    Raises:
        ValueError: A composite cannot be made from its configuration.
    """
    groups = _by_axis(analysis)
    found: dict[tuple[int, Size], ClassSize] = {}
    reasons: dict[str, str] = {}
    rules = [(layer, _rule(layer)) for layer in composites]
    for size in dict.fromkeys(size for _, rule in rules for size in rule.sizes):
        key = size if isinstance(size, str) else size[0]
        ways = [(layer, rule, ways_of(layer, size)) for layer, rule in rules if size in rule.sizes]
        for place in range(max(len(each) for _, _, each in ways)):
            tried = [
                (layer, rule.also.get(key, {}), each[place])
                for layer, rule, each in ways
                if place < len(each) and (id(layer), size) not in found
            ]
            for (layer, also, steps), axes in zip(tried, _probe(model, tried), strict=True):
                try:
                    found[id(layer), size] = _size(layer, key, steps, also, axes, groups)
                except ValueError as error:
                    reasons.setdefault(f"{layer.name}:{key}", str(error))
        for layer, _, each in ways:
            if (id(layer), size) in found:
                reasons.pop(f"{layer.name}:{key}", None)
            elif not each:
                reasons[f"{layer.name}:{key}"] = "there is one only"
    for layer, rule in rules:
        reasons |= {f"{layer.name}:{key}": why for key, why in rule.kept.items()}
    return list(found.values()), reasons


def restricted(analysis: ChannelAnalysis, sizes: Sequence[ClassSize], reason: str) -> ChannelAnalysis:
    """Return the analysis with all channels kept for this reason, except those that the sizes count."""
    counted = {name for size in sizes for name in size.groups}

    def kept(group: ChannelGroup) -> ChannelGroup:
        return dataclasses.replace(group, reasons=tuple(own or reason for own in group.reasons))

    groups = tuple(group if group.name in counted else kept(group) for group in analysis.groups)
    return dataclasses.replace(analysis, groups=groups, uniform=tuple(size.groups for size in sizes))


def _rule(layer: keras.Layer) -> CompositeRule:
    rule = find_composite(layer)
    assert rule is not None  # since it is a composite
    return rule


def _by_axis(analysis: ChannelAnalysis) -> dict[Axis, ChannelGroup]:
    """The groups whose channels are all the positions along an axis of a weight, each equally often, by that axis."""
    place = {id(weight): index for index, weight in enumerate(weights_of(analysis.trace.model))}
    return {
        (place[id(member.weight)], member.axis): group
        for group in analysis.groups
        for member in group.members
        if id(member.weight) in place and _has_all(group, member.labels)
    }


def _has_all(group: ChannelGroup, labels: np.ndarray) -> bool:
    """Whether labels are the channels of a group and no others, each of them equally often."""
    channels, counts = np.unique(labels, return_counts=True)
    return len(channels) == group.size and FIXED not in channels and len(set(counts.tolist())) == 1


def _probe(
    model: keras.Model, tried: Sequence[tuple[keras.Layer, Mapping[str, Any], Steps]]
) -> list[dict[Axis, tuple[int, int]]]:
    """For each composite which axes of its weights change their size, and how, when it is made with half as much."""
    if not tried:
        return []
    shapes = _shapes(model, [(layer, {**steps.entries(steps.half), **also}) for layer, also, steps in tried])
    place = {id(weight): index for index, weight in enumerate(model.weights)}
    found = []
    for layer, _, _ in tried:
        changed: dict[Axis, tuple[int, int]] = {}
        for weight in layer.weights:
            index = place[id(weight)]
            for axis, (before, after) in enumerate(zip(weight.shape, shapes[index], strict=True)):
                if before != after:
                    changed[index, axis] = before, after
        found.append(changed)
    return found


def _shapes(model: keras.Model, changes: Changes) -> list[tuple[int, ...]]:
    """The shapes of the weights of the model with these sizes, where possible without weights."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            return [tuple(weight.shape) for weight in remake(model, changes).weights]
    except ValueError:  # its constructor makes an optimizer, say
        return [tuple(weight.shape) for weight in remake(model, changes).weights]


def _size(
    layer: keras.Layer,
    key: str,
    steps: Steps,
    also: Mapping[str, Any],
    axes: Mapping[Axis, tuple[int, int]],
    groups: Mapping[Axis, ChannelGroup],
) -> ClassSize:
    """What a size counts.

    Raises:
        ValueError: It is no number of channels that can be removed; the message says why.
    """
    if not axes:
        raise ValueError("no weight changes with it")
    if any(before * steps.half != after * steps.count for before, after in axes.values()):
        raise ValueError("sizes that depend on it change otherwise than it does")
    if any(axis not in groups for axis in axes):
        raise ValueError("the channels that it counts cannot be followed")
    counted = {groups[axis].name: groups[axis] for axis in axes}
    sizes = {group.size for group in counted.values()}
    if len(sizes) != 1 or steps.count % (channels := sizes.pop()):
        raise ValueError("sizes that depend on it change otherwise than it does")
    mine = {axis for axis, group in groups.items() if group.name in counted}
    if mine != set(axes):
        raise ValueError("its channels are removed together with others")
    for group in counted.values():
        if not group.free.all():
            raise ValueError(next(reason for reason in group.reasons if reason))
    return ClassSize(layer, key, steps, channels, tuple(counted), also)
