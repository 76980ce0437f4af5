"""Channels that went: filters, units, heads, whole of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.channels.limits import Limits
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.prune import ChannelChoice
from keras_prune.insight.explain.ranking import Cut, find_cut, positions_text, ranks, score_text

# By the word with which a rule names a sort of channels.
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
class ExplainedGroup:
    """What went of one channel group, and why.

    Args:
        group: Its name, as in the analysis: `"attention:num_heads"`.
        unit: What its channels are: `"filters"`, `"units"`, `"heads"`, or `"channels"` of several sorts.
        producers: Paths of the layers that make them.
        scores: The score of each channel, higher = keep; None if none of them can go.
        ranks: The rank of each among those that can go, 1 = lowest, so the first to go; 0 for those that must stay;
            None likewise.
        gone: For each channel, whether it went.
        cut: Where the scores were cut, of those channels that can go.
        reason: Why these went, or none.
        reasons: Of each channel, why it went or stayed.
    """

    group: str
    unit: str
    producers: tuple[str, ...]
    scores: np.ndarray | None
    ranks: np.ndarray | None
    gone: np.ndarray
    cut: Cut
    reason: str
    reasons: tuple[str, ...]

    HEADINGS: ClassVar = ("Group", "Of", "Went", "Which", "Highest went", "Lowest kept", "Overlap", "Why")

    @property
    def name(self) -> str:
        return self.group

    @property
    def before(self) -> int:
        """Number of channels before."""
        return self.gone.size

    @property
    def after(self) -> int:
        """Number of channels left."""
        return self.cut.kept

    @property
    def frozen(self) -> str:
        """Why none could go; empty if some could."""
        return self.reason if self.scores is None else ""

    @property
    def removed(self) -> tuple[int, ...]:
        """The positions of the channels that went."""
        return tuple(np.flatnonzero(self.gone).tolist())

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        cut = self.cut
        return (
            self.group,
            f"{self.gone.size} {self.unit}",
            str(cut.removed),
            f"[{positions_text(self.removed)}]" if cut.removed else "none",
            score_text(cut.highest_removed),
            score_text(cut.lowest_kept),
            str(cut.overlap),
            self.reason,
        )

    def records(self) -> list[dict[str, Any]]:
        """The same as data: a record for each channel."""
        return [
            {
                "group": self.group,
                "unit": self.unit,
                "channel": index,
                "removed": bool(self.gone[index]),
                "score": None if self.scores is None else float(self.scores[index]),
                "rank": None if self.ranks is None else int(self.ranks[index]) or None,
                "of": self.gone.size,
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
) -> tuple[ExplainedGroup, ...]:
    """What went of each channel group.

    Args:
        analysis: The channels of the model before.
        plan: Which went; made for this model.
        scores: The scores of the groups of which some can go.
        choice: How they were chosen, if that is known.
        asked: By name of the group how many should be left, if that is known.
    """
    units = _units(analysis)
    limits = None if choice is None else choice.limits
    return tuple(
        _explain(group, unit, plan.removed.get(group.name, ()), scores.get(group.name), limits, asked or {})
        for group, unit in zip(analysis.groups, units, strict=True)
    )


def _explain(
    group: ChannelGroup,
    unit: str,
    removed: tuple[int, ...],
    scores: np.ndarray | None,
    limits: Limits | None,
    asked: Mapping[str, int | None],
) -> ExplainedGroup:
    gone = np.zeros(group.size, bool)
    gone[list(removed)] = True
    if scores is None:  # none can go
        reason, cut = f"must stay: {group.frozen}", Cut(0, group.size, None, None, 0)
        return ExplainedGroup(
            group.name, unit, group.producers, None, None, gone, cut, reason, tuple(map(_must_stay, group.reasons))
        )
    free = group.free
    cut = dataclasses.replace(find_cut(scores[free], gone[free]), kept=int(np.count_nonzero(~gone)))
    ranked = np.zeros(group.size, np.int64)
    ranked[free] = ranks(scores[free])
    left = asked.get(group.name)
    want = cut.removed if limits is None or left is None else group.size - left
    went, held = _why_went(group, cut, limits), _why_held(group, cut, limits, want)
    above = "stays: higher scores than those that went" if cut.removed else f"stays: {held or 'nothing went'}"

    def reason_of(index: int) -> str:
        if gone[index]:
            return went
        if group.reasons[index]:
            return _must_stay(group.reasons[index])
        if held and ranked[index] <= max(want, cut.removed):
            return f"stays, though its rank is {ranked[index]}: {held}"
        return above if ranked[index] > cut.removed else f"stays, though its rank is {ranked[index]}"

    reason = "; ".join(filter(None, (went, held))) or "nothing went"
    reasons = tuple(map(reason_of, range(group.size)))
    return ExplainedGroup(group.name, unit, group.producers, scores, ranked, gone, cut, reason, reasons)


def _must_stay(reason: str) -> str:
    return f"must stay: {reason}"


def _why_went(group: ChannelGroup, cut: Cut, limits: Limits | None) -> str:
    """Why these channels went; empty if none did."""
    if not cut.removed:
        return ""
    if cut.overlap:
        others = "; another criterion or other limits decided" if limits is None else ""
        return f"{cut.overlap} of them are not among the {cut.removed} lowest scores{others}"
    if limits is not None and limits.has_own(group):
        return (
            f"the {cut.removed} lowest of its {group.size} scores: `ratios` asks for {limits.own(group) or 0:g} of it"
        )
    if limits is None or limits.scope == "group":
        return f"the {cut.removed} lowest of its {group.size} scores"
    others = "all groups" if limits.scope == "global" else "the groups of the same structure"
    return f"among the lowest scores of {others} together"


def _why_held(group: ChannelGroup, cut: Cut, limits: Limits | None, want: int) -> str:
    """What kept channels that would have gone, as far as it is known; empty if nothing did."""
    if limits is None:
        return ""
    if limits.has_own(group) and limits.own(group) is None:
        return "`ratios` lets it stay"
    most, rounded = limits.largest(group), limits.rounded(group, want)
    found = []
    if most <= want:
        must = "" if group.free.all() else f", {int(np.count_nonzero(~group.free))} must stay"
        asked = f"{want} were asked for, " if most < want else ""
        found.append(
            f"{asked}at most {most} may go (max_ratio={limits.max_ratio:g}, min_channels={limits.min_channels}{must})"
        )
    if rounded < min(most, want):
        found.append(f"{min(most, want)} were to go, but round_to={limits.round_to} keeps a multiple")
    if cut.removed < rounded:
        found.append(f"{rounded - cut.removed} came back, since a layer would have had none left")
    if not cut.removed and not found:
        found.append("nothing was asked of it" if limits.scope == "group" else "its scores are above those that went")
    return "; ".join(found)


def _units(analysis: ChannelAnalysis) -> list[str]:
    """What the channels of each group are."""
    atoms = analysis.trace.found.atoms
    sorts: dict[int, set[str]] = {}
    for (_, key), (_, minted) in analysis.trace.found.minted.items():
        for channel in set(atoms.roots(minted).tolist()):
            sorts.setdefault(channel, set()).add(_UNITS.get(key, "units" if key.startswith("cell") else "channels"))
    found = []
    for group in analysis.groups:
        words = set().union(*(sorts.get(channel, set()) for channel in group.channels.tolist()))
        found.append(words.pop() if len(words) == 1 else "channels")
    return found
