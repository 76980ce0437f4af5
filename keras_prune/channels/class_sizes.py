"""Which channels the sizes in configurations of composites are, and an analysis of which only they can be removed."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras

from keras_prune.channels.composites import CompositeRule, find_composite
from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.channels.remake import Changes, remake
from keras_prune.expansion.report import weights_of
from keras_prune.tracing.labels import FIXED

Axis = tuple[int, int]  # the place of a weight among those of the model, and which of its axes


@dataclasses.dataclass(frozen=True, eq=False)
class ClassSize:
    """A size in the configuration of a composite, and what it counts.

    Args:
        layer: The composite.
        key: The key of its configuration.
        value: The number there.
        channels: The number of channels of each group.
        groups: The groups of channels that all have this number, by name.
    """

    layer: keras.Layer
    key: str
    value: int
    channels: int
    groups: tuple[str, ...]

    def smaller(self, channels: int) -> int:
        """The number in the configuration that means so many channels."""
        return self.value // self.channels * channels


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
    found: list[ClassSize] = []
    reasons: dict[str, str] = {}
    rules = [(layer, _rule(layer)) for layer in composites]
    for key in dict.fromkeys(key for _, rule in rules for key in rule.sizes):
        layers = [layer for layer, rule in rules if key in rule.sizes]
        for layer, axes in zip(layers, _probe(model, layers, key), strict=True):
            try:
                found.append(_size(layer, key, axes, groups))
            except ValueError as error:
                reasons[f"{layer.name}:{key}"] = str(error)
    for layer, rule in rules:
        reasons |= {f"{layer.name}:{key}": why for key, why in rule.kept.items()}
    return found, reasons


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
    """The groups whose channels are all the positions along an axis of a weight, by that axis."""
    place = {id(weight): index for index, weight in enumerate(weights_of(analysis.trace.model))}
    return {
        (place[id(member.weight)], member.axis): group
        for group in analysis.groups
        for member in group.members
        if id(member.weight) in place and len(member.labels) == group.size and (member.labels != FIXED).all()
    }


def _probe(model: keras.Model, layers: Sequence[keras.Layer], key: str) -> list[dict[Axis, tuple[float, float]]]:
    """For each composite which axes of its weights change their size with a size in its configuration: by how much they
    do, and by how much that does."""
    values = [_value(layer, key) for layer in layers]
    halves = [max(1, value // 2) for value in values]
    shapes = _shapes(model, [(layer, {key: half}) for layer, half in zip(layers, halves, strict=True)])
    place = {id(weight): index for index, weight in enumerate(model.weights)}
    found = []
    for layer, value, half in zip(layers, values, halves, strict=True):
        changed: dict[Axis, tuple[float, float]] = {}
        for weight in layer.weights:
            index = place[id(weight)]
            for axis, (before, after) in enumerate(zip(weight.shape, shapes[index], strict=True)):
                if before != after:
                    changed[index, axis] = value / before, half / after
        found.append(changed)
    return found


def _shapes(model: keras.Model, changes: Changes) -> list[tuple[int, ...]]:
    """The shapes of the weights of the model with these sizes, where possible without weights."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            return [tuple(weight.shape) for weight in remake(model, changes).weights]
    except ValueError:  # its constructor makes an optimizer, say
        return [tuple(weight.shape) for weight in remake(model, changes).weights]


def _value(layer: keras.Layer, key: str) -> int:
    value = layer.get_config().get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"The rule for {type(layer).__name__} (see `register_composite`) names a size that must be a number in its "
            f"configuration. Received: {key}={value!r} of '{layer.name}'"
        )
    return value


def _size(
    layer: keras.Layer, key: str, axes: Mapping[Axis, tuple[float, float]], groups: Mapping[Axis, ChannelGroup]
) -> ClassSize:
    """What a size counts.

    Raises:
        ValueError: It is no number of channels that can be removed; the message says why.
    """
    if not axes:
        raise ValueError("no weight changes with it")
    factors = {factor for pair in axes.values() for factor in pair}
    if len(factors) != 1 or not (factor := factors.pop()).is_integer():
        raise ValueError("sizes that depend on it change otherwise than it does")
    if any(axis not in groups for axis in axes):
        raise ValueError("the channels that it counts cannot be followed")
    counted = {groups[axis].name: groups[axis] for axis in axes}
    mine = {axis for axis, group in groups.items() if group.name in counted}
    if mine != set(axes):
        raise ValueError("its channels are removed together with others")
    for group in counted.values():
        if not group.free.all():
            raise ValueError(next(reason for reason in group.reasons if reason))
    value = layer.get_config()[key]
    return ClassSize(layer, key, value, int(value / factor), tuple(counted))
