"""Removed channels: filters, units, heads."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from keras_prune.channels.carry_out import ChannelChoice
from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.channels.limits import Limits
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.ranked_together import GroupThreshold
from keras_prune.insight.explain.ranking import Cut, find_cut, positions_text, ranks, score_text
from tflite_export.reporting import Shown

# By the name that a rule gives a kind of channel.
_UNITS = {
    "filters": "filters",
    "units": "units",
    "num_heads": "heads",
    "num_query_heads": "heads",
    "num_key_value_heads": "heads",
    "key_dim": "head dimensions",
    "value_dim": "head dimensions",
    "head_dim": "head dimensions",
    "output_dim": "dimensions",
}


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedGroup(Shown):
    """What was removed of one channel group, and why.

    Args:
        group: Its name, as in the analysis: `"attention:num_heads"`.
        unit: What its channels are: `"filters"`, `"units"`, `"heads"`, or `"channels"` of several kinds.
        producers: Paths of the layers whose outputs they are.
        scores: The score of each channel, higher = keep; None if none of them can be removed.
        ranks: The rank of each among those that can be removed, 1 = lowest, so removed first; 0 for those that cannot
            be removed; None likewise.
        pruned: Boolean vector: which channels were removed.
        cut: The boundary between the scores removed and kept, of those channels that can be removed.
        reason: Why these were removed, or none.
        reasons: Of each channel, why it was removed or kept.
        threshold: The score below which channels should be removed. Defaults to None: no threshold was asked for.
    """

    group: str
    unit: str
    producers: tuple[str, ...]
    scores: np.ndarray | None
    ranks: np.ndarray | None
    pruned: np.ndarray
    cut: Cut
    reason: str
    reasons: tuple[str, ...]
    threshold: float | None = None

    HEADINGS: ClassVar = (
        "Group",
        "Channels before",
        "Removed",
        "Positions removed",
        "Highest score removed",
        "Lowest score kept",
        "Overlap",
        "Why",
    )

    @property
    def name(self) -> str:
        """The name of the group."""
        return self.group

    @property
    def before(self) -> int:
        """Number of channels before."""
        return self.pruned.size

    @property
    def after(self) -> int:
        """Number of channels kept."""
        return self.cut.kept

    @property
    def frozen(self) -> str:
        """Why none can be removed; empty if some can."""
        return self.reason if self.scores is None else ""

    @property
    def removed(self) -> tuple[int, ...]:
        """The positions of the channels that were removed."""
        return tuple(np.flatnonzero(self.pruned).tolist())

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        cut = self.cut
        return (
            self.group,
            f"{self.pruned.size} {self.unit}",
            str(cut.removed),
            f"[{positions_text(self.removed)}]" if cut.removed else "none",
            score_text(cut.highest_removed),
            score_text(cut.lowest_kept),
            str(cut.overlap),
            self.reason,
        )

    def records(self) -> list[dict[str, Any]]:
        """Return the same as data: a record for each channel."""
        return [
            {
                "group": self.group,
                "unit": self.unit,
                "channel": index,
                "removed": bool(self.pruned[index]),
                "score": None if self.scores is None else float(self.scores[index]),
                "rank": None if self.ranks is None else int(self.ranks[index]) or None,
                "of": self.pruned.size,
                "threshold": self.threshold,
                "reason": reason,
            }
            for index, reason in enumerate(self.reasons)
        ]


def explain_channels(
    analysis: ChannelAnalysis,
    plan: ChannelPlan,
    scores: Mapping[str, np.ndarray],
    choice: ChannelChoice | None = None,
    asked: Mapping[str, int | None] | None = None,
    kept: Mapping[str, str] | None = None,
) -> tuple[ExplainedGroup, ...]:
    """Return what was removed of each channel group.

    Args:
        analysis: The channels of the original model.
        plan: Which were removed; made for this model.
        scores: The scores of the groups of which some can be removed.
        choice: How they were chosen. Defaults to None: unknown.
        asked: By name of the group how many should be kept. Defaults to None: unknown.
        kept: By name of the group why all its channels were kept, though some could have been removed. Defaults to
            None: there are none.
    """
    units = _units(analysis)
    limits = None if choice is None else choice.limits
    thresholds = {} if choice is None else choice.thresholds
    return tuple(
        _explain(
            group,
            unit,
            plan.removed.get(group.name, ()),
            scores.get(group.name),
            limits,
            thresholds.get(group.name),
            asked or {},
            (kept or {}).get(group.name, ""),
        )
        for group, unit in zip(analysis.groups, units, strict=True)
    )


def _explain(
    group: ChannelGroup,
    unit: str,
    removed: tuple[int, ...],
    scores: np.ndarray | None,
    limits: Limits | None,
    threshold: GroupThreshold | None,
    asked: Mapping[str, int | None],
    kept: str,
) -> ExplainedGroup:
    """The explanation of one group."""
    pruned = np.zeros(group.size, bool)
    pruned[list(removed)] = True
    if scores is None:  # none can be removed
        cut, reasons = Cut(0, group.size, None, None, 0), tuple(_fixed(each or kept) for each in group.reasons)
        return ExplainedGroup(
            group.name, unit, group.producers, None, None, pruned, cut, _fixed(group.frozen or kept), reasons
        )
    free = group.free
    cut = dataclasses.replace(find_cut(scores[free], pruned[free]), kept=int(np.count_nonzero(~pruned)))
    ranked = np.zeros(group.size, np.int64)
    ranked[free] = ranks(scores[free])
    left = asked.get(group.name)
    want = cut.removed if limits is None or left is None else group.size - left
    why, held = _why_removed(group, cut, limits, threshold), _why_kept(group, cut, limits, threshold, want)
    above = f"kept: {'higher scores than those removed' if cut.removed else held or 'nothing was removed'}"

    def reason_of(index: int) -> str:
        if pruned[index]:
            return why
        if group.reasons[index]:
            return _fixed(group.reasons[index])
        if held and ranked[index] <= max(want, cut.removed):
            return f"kept, though its rank is {ranked[index]}: {held}"
        return above if ranked[index] > cut.removed else f"kept, though its rank is {ranked[index]}"

    reason = "; ".join(filter(None, (why, held))) or "nothing was removed"
    reasons = tuple(map(reason_of, range(group.size)))
    value = None if threshold is None else threshold.value
    return ExplainedGroup(group.name, unit, group.producers, scores, ranked, pruned, cut, reason, reasons, value)


def _fixed(reason: str) -> str:
    """Why a channel cannot be removed."""
    return f"cannot be removed: {reason}"


def _why_removed(group: ChannelGroup, cut: Cut, limits: Limits | None, threshold: GroupThreshold | None) -> str:
    """Why these channels were removed; empty if none was."""
    if not cut.removed:
        return ""
    if cut.overlap:
        others = "; another criterion or other limits decided" if limits is None else ""
        return f"{cut.overlap} of them are not among the {cut.removed} lowest scores{others}"
    if threshold is not None:
        return f"the {cut.removed} lowest of its {group.size} scores, below the threshold {score_text(threshold.value)}"
    if limits is not None and limits.has_own(group):
        return (
            f"the {cut.removed} lowest of its {group.size} scores: `ratios` asks for {limits.own(group) or 0:g} of it"
        )
    if limits is None or limits.scope == "group":
        return f"the {cut.removed} lowest of its {group.size} scores"
    others = "all groups" if limits.scope == "global" else "the groups of the same structure"
    return f"among the lowest scores of {others} together"


def _why_kept(group: ChannelGroup, cut: Cut, limits: Limits | None, threshold: GroupThreshold | None, want: int) -> str:
    """Why channels of low scores were kept all the same, as far as the limits say; empty if none was."""
    if limits is None:
        return ""
    if limits.has_own(group) and limits.own(group) is None:
        return "`ratios` excludes it from pruning"
    most, rounded = limits.largest(group), limits.rounded(group, want)
    found = []
    if most <= want and (threshold is None or most < want):
        fixed = int(np.count_nonzero(~group.free))
        others = f", {fixed} cannot be removed" if fixed else ""
        asked = f"{want} were asked for, " if most < want else ""
        found.append(
            f"{asked}at most {most} may be removed "
            f"(max_ratio={limits.max_ratio:g}, min_channels={limits.min_channels}{others})"
        )
    if rounded < min(most, want):
        found.append(f"{min(most, want)} were to be removed, but round_to={limits.round_to} keeps a multiple")
    if cut.removed < rounded:
        found.append(f"{rounded - cut.removed} were kept after all, since a layer would have had no channel left")
    if threshold is not None and not want:
        found.append(f"no score is below the threshold {score_text(threshold.value)}")
    if not cut.removed and not found:
        found.append(
            "no pruning of it was asked for" if limits.scope == "group" else "its scores are above those removed"
        )
    return "; ".join(found)


def _units(analysis: ChannelAnalysis) -> list[str]:
    """What the channels of each group are."""
    atoms = analysis.trace.found.atoms
    kinds: dict[int, set[str]] = {}
    for (_, key), (_, minted) in analysis.trace.found.minted.items():
        for channel in set(atoms.roots(minted).tolist()):
            kinds.setdefault(channel, set()).add(_UNITS.get(key, "units" if key.startswith("cell") else "channels"))
    found = []
    for group in analysis.groups:
        words = set().union(*(kinds.get(channel, set()) for channel in group.channels.tolist()))
        found.append(words.pop() if len(words) == 1 else "channels")
    return found
