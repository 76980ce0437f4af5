"""`RemovalOrder`: channels in the order in which they are removed. A ratio, or a budget, takes the first part."""

from collections.abc import Callable, Mapping

import numpy as np

from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.channels.limits import Limits
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.ranked_together import group_thresholds, ranked_together
from keras_prune.validation import part


class RemovalOrder:
    """Order in which channels can be removed: within a group by score, lowest first; ties by position, last first.

    The channels of all groups are merged by priority: for `scope="group"` the fraction of the group that is removed
    with a channel, so that all groups shrink alike; for `"global"` its score; for `"isomorphic"` the fraction of all
    channels in groups of the same structure (Fang et al. 2024, "Isomorphic pruning for vision models").

    Args:
        analysis: The channels.
        limits: What can be removed, checked against the analysis. Groups that `ratios` names are not part of the order:
            their channels are removed in any case. With a threshold no group is: what scores below it is removed.
        scores: By name of the group the score of each channel, higher = keep.
    """

    def __init__(self, analysis: ChannelAnalysis, limits: Limits, scores: Mapping[str, np.ndarray]):
        free = [group for group in analysis.groups if not group.frozen]
        self._analysis, self._limits, self._scores = analysis, limits, scores
        self._order = {group.name: _order(group, scores[group.name]) for group in free}
        self._own = {
            group.name: limits.count(group, limits.own(group) or 0.0) for group in free if limits.has_own(group)
        }
        self._groups = [group for group in free if group.name not in self._own]
        self.thresholds = {}
        if limits.threshold is not None:
            self.thresholds = group_thresholds(limits.threshold, self._groups, limits.scope, scores)
            self._own |= {name: each.below for name, each in self.thresholds.items()}
            self._groups = []
        index = np.concatenate(
            [np.full(limits.largest(group), index) for index, group in enumerate(self._groups)] or [np.empty(0, int)]
        )
        priority = np.concatenate([*self._priorities(), np.empty(0)])
        order = np.argsort(priority, kind="stable")
        self._sequence, self._priority = index[order].astype(int), priority[order]

    def __len__(self) -> int:
        return len(self._sequence)

    def length(self, ratio: float) -> int:
        """How much of the order this ratio removes."""
        if self._limits.scope != "global":
            return int(np.searchsorted(self._priority, ratio + 1e-9, side="right"))
        original = sum(map(self._limits.size, self._groups))
        gone = original - sum(group.size for group in self._groups)
        return min(max(0, part(ratio, original) - gone), len(self))

    def asked(self, length: int) -> dict[str, int]:
        """How many channels of each group this much of the order asks to remove; limits may allow fewer."""
        counts = np.bincount(self._sequence[:length], minlength=len(self._groups)).tolist()
        asked = {**{group.name: count for group, count in zip(self._groups, counts, strict=True)}, **self._own}
        for names in self._analysis.uniform:
            asked |= dict.fromkeys(names, self._equal([asked.get(name, 0) for name in names]))
        return asked

    def _equal(self, counts: list[int]) -> int:
        """What is removed of each of several groups in place of these counts: their mean, rounded down; by a threshold
        the least of them, so that nothing is removed that reaches it.
        """
        return min(counts) if self._limits.threshold is not None else sum(counts) // len(counts)

    def plan(self, length: int) -> ChannelPlan:
        """The plan that removes this much of the order."""
        asked = self.asked(length)
        removed = {
            group.name: self._order[group.name][: self._limits.rounded(group, asked[group.name])].tolist()
            for group in self._analysis.groups
            if group.name in asked
        }
        self._refill(removed)
        return ChannelPlan(
            self._analysis.fingerprint, {name: tuple(sorted(places)) for name, places in removed.items() if places}
        )

    def _priorities(self) -> list[np.ndarray]:
        """For each group the priorities of the channels that can be removed, in their order."""
        if self._limits.scope != "global":
            return _fractions(self._groups, self._limits, self._sorted_scores)
        return [self._sorted_scores(group) for group in self._groups]

    def _sorted_scores(self, group: ChannelGroup) -> np.ndarray:
        return self._scores[group.name][self._order[group.name]][: self._limits.largest(group)]

    def _refill(self, removed: dict[str, list[int]]) -> None:
        """Keeps the best channel of each tensor that would have none, and those that round its group up."""
        groups = self._analysis.groups
        gone = np.zeros(len(self._analysis.trace.found.atoms), dtype=bool)
        owner, place = np.zeros(len(gone), dtype=int), np.zeros(len(gone), dtype=int)
        for index, group in enumerate(groups):
            gone[group.channels[removed.get(group.name, [])]] = True
            owner[group.channels], place[group.channels] = index, np.arange(group.size)
        for row in self._analysis.never_empty:
            if gone[row].all():
                channels = [(self._scores[groups[owner[each]].name][place[each]], -place[each], each) for each in row]
                best = max(channels)[2]
                gone[best] = False
                group = groups[owner[best]]
                places = removed[group.name]
                places.remove(place[best])
                more = -(group.size - len(places)) % self._limits.round_to
                back = places[-more:] if more else []  # the last in the order, so the best
                del places[len(places) - len(back) :]
                gone[group.channels[back]] = False


def _order(group: ChannelGroup, scores: np.ndarray) -> np.ndarray:
    """The positions of a group's channels that can be removed, in the order of removal."""
    places = np.flatnonzero(group.free)
    return places[np.lexsort((-places, scores[places]))]


def _fractions(
    groups: list[ChannelGroup], limits: Limits, scores: Callable[[ChannelGroup], np.ndarray]
) -> list[np.ndarray]:
    """For each channel the fraction of its class of groups that is removed with it."""
    found = [np.empty(0)] * len(groups)
    for members in ranked_together(groups, limits.scope):
        original = sum(limits.size(groups[index]) for index in members)
        gone = original - sum(groups[index].size for index in members)
        ranked = [scores(groups[index]) for index in members]
        ranks = np.argsort(np.argsort(np.concatenate(ranked), kind="stable"), kind="stable")
        parts = np.split(ranks, np.cumsum([len(each) for each in ranked])[:-1])
        for index, own in zip(members, parts, strict=True):
            found[index] = (gone + own + 1) / original
    return found
