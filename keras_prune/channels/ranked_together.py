"""Which groups are ranked together, and the threshold that their scores share."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from keras_prune.channels.groups import ChannelGroup
from keras_prune.channels.limits import Scope
from keras_prune.selection.thresholds import ThresholdRule
from keras_prune.selection.unit_thresholds import lowest_kept
from tflite_export.reporting import Shown


def ranked_together(groups: Sequence[ChannelGroup], scope: Scope) -> list[list[int]]:
    """The positions of the groups of each set whose channels are ranked together."""
    classes: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        key = {"group": group.name, "global": None, "isomorphic": _structure(group)}[scope]
        classes.setdefault(key, []).append(index)
    return list(classes.values())


def _structure(group: ChannelGroup) -> Hashable:
    """What groups of the same structure have in common: the kinds of layers and weights that share their channels."""
    return tuple(sorted((member.kind, member.name, member.axis, member.role) for member in group.members))


@dataclasses.dataclass(frozen=True)
class GroupThreshold(Shown):
    """What a threshold is for one group.

    Args:
        value: Channels that score below it should be removed.
        lowest: The lowest score of a channel that can be removed.
        below: How many of those score below the threshold.
    """

    value: float
    lowest: float
    below: int


def group_thresholds(
    rule: ThresholdRule, groups: Sequence[ChannelGroup], scope: Scope, scores: Mapping[str, np.ndarray]
) -> dict[str, GroupThreshold]:
    """Return, by name of the group, what a threshold is for it. The largest or the mean score is that of all channels
    of the groups that are ranked together.

    Args:
        rule: The threshold.
        groups: Groups of which some channel can be removed.
        scope: Which of them are ranked together.
        scores: By name of the group the score of each channel, higher = keep.
    """
    found: dict[str, GroupThreshold] = {}
    for members in ranked_together(groups, scope):
        value = lowest_kept(rule, np.concatenate([scores[groups[index].name] for index in members]))
        for group in (groups[index] for index in members):
            free = scores[group.name][group.free]
            found[group.name] = GroupThreshold(value, float(free.min()), int(np.count_nonzero(free < value)))
    return found
