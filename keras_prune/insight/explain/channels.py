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

    @property
    def share(self) -> float:
        """Fraction of the channels that went."""
        return self.cut.removed / self.gone.size

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
        plan: Which went.
        scores: The scores of the groups of which some can go.
        choice: How they were chosen, if that is known.
        asked: By name of the group how many should be left, if that is known.

    Raises:
        ValueError: The plan was made for another model.
    """
    plan.keep(analysis)
    units = _units(analysis)
    limits = None if choice is None else choice.limits
    return tuple(
        _explain(group, unit, plan.removed.get(group.name, ()), scores.get(group.name), limits, (asked or {}))
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
        cut, ranked = Cut(0, group.size, None, None, 0), None
        reason = f"must stay: {group.frozen}"
    else:
        free = group.free
        cut = dataclasses.replace(find_cut(scores[free], gone[free]), kept=int(np.count_nonzero(~gone)))
        ranked = np.zeros(group.size, np.int64)
        ranked[free] = ranks(scores[free])
        left = asked.get(group.name)
        want = None if left is None else group.size - left
        reason = _reason(group, cut, limits, want)
    reasons = tuple(_of_channel(group, index, gone, ranked, cut, reason) for index in range(group.size))
    return ExplainedGroup(group.name, unit, group.producers, scores, ranked, gone, cut, reason, reasons)


def _reason(group: ChannelGroup, cut: Cut, limits: Limits | None, want: int | None) -> str:
    """Why these channels of a group went."""
    parts = []
    if cut.removed and cut.overlap:
        parts.append(f"{cut.overlap} of them are not among the {cut.removed} lowest scores")
    elif cut.removed:
        parts.append(_which_lowest(group, cut, limits))
    if limits is None or want is None:
        if cut.overlap:
            parts.append("another criterion or other limits decided")
        return "; ".join(parts) or "nothing went"
    if limits.has_own(group):
        own = limits.own(group)
        parts.append("`ratios` lets it stay" if own is None else f"`ratios` asks for {own:g} of it")
    parts += _held_back(group, cut, limits, want)
    if not parts:
        parts.append("nothing was asked of it" if limits.scope == "group" else "its scores are above those that went")
    return "; ".join(parts)


def _which_lowest(group: ChannelGroup, cut: Cut, limits: Limits | None) -> str:
    own = limits is None or limits.scope == "group" or limits.has_own(group)
    if own:
        return f"the {cut.removed} lowest of its {group.size} scores"
    assert limits is not None
    others = "all groups" if limits.scope == "global" else "the groups of the same structure"
    return f"among the lowest scores of {others} together"


def _held_back(group: ChannelGroup, cut: Cut, limits: Limits, want: int) -> list[str]:
    """What kept channels that should have gone."""
    possible = min(want, limits.largest(group))
    rounded = limits.rounded(group, want)
    found = []
    if possible < want:
        must = "" if group.free.all() else f", {int(np.count_nonzero(~group.free))} must stay"
        found.append(
            f"{want} were asked for, at most {possible} may go (max_ratio={limits.max_ratio:g}, "
            f"min_channels={limits.min_channels}{must})"
        )
    if rounded < possible:
        found.append(f"{possible} were to go, but round_to={limits.round_to} keeps a multiple")
    if cut.removed < rounded:
        found.append(f"{rounded - cut.removed} came back, since a layer would have had none left")
    return found


def _of_channel(
    group: ChannelGroup, index: int, gone: np.ndarray, ranked: np.ndarray | None, cut: Cut, reason: str
) -> str:
    if group.reasons[index]:
        return f"must stay: {group.reasons[index]}"
    assert ranked is not None
    if gone[index]:
        return reason
    if ranked[index] <= cut.removed:
        return f"stays, though its rank is {ranked[index]}: {reason}"
    return "stays: higher scores than those that went" if cut.removed else f"stays: {reason}"


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
