"""What holds for every channel group: how much of it may go, and how much shall."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.patterns import check_patterns, matches
from keras_prune.validation import check_choice, check_fraction, check_integer, part

Scope = Literal["group", "global", "isomorphic"]


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much of each group goes.

    Args:
        ratio: Fraction of the channels to remove, in [0, 1); None: a budget decides.
        ratios: By pattern of the layers that make channels, another fraction, or None: those stay.
        scope: Which groups are ranked together: none, all, or those of the same structure.
        round_to: Keep a multiple of this many channels.
        min_channels: Keep at least this many.
        max_ratio: Remove at most this fraction of a group.
        original: The sizes that fractions refer to, by name of the group, where it is not the present size: a
            model that is pruned in steps.
    """

    ratio: float | None = None
    ratios: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    scope: Scope = "group"
    round_to: int = 1
    min_channels: int = 1
    max_ratio: float = 0.9
    original: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.ratios, Mapping):
            raise TypeError(f"`ratios` must map layer patterns to a ratio or None. Received: ratios={self.ratios!r}")
        for pattern, ratio in self.ratios.items():
            if ratio is not None:
                check_fraction(ratio, f"ratios[{pattern!r}]")
        if self.ratio is not None:
            check_fraction(self.ratio, "ratio")
        check_fraction(self.max_ratio, "max_ratio")
        check_choice(self.scope, "scope", get_args(Scope))
        for name in ("round_to", "min_channels"):
            object.__setattr__(self, name, check_integer(getattr(self, name), name, 1))

    def check(self, analysis: ChannelAnalysis) -> None:
        """Raises a `ValueError` if a pattern matches no layer, or layers of one group get different ratios."""
        check_patterns(self.ratios, [path for group in analysis.groups for path in group.producers], "ratios")
        for group in analysis.groups:
            found = self._own(group)
            if len(set(found.values())) > 1:
                raise ValueError(
                    "`ratios` says different things of layers whose channels go together: "
                    f"{', '.join(group.producers)}. Received: {found}"
                )

    def has_own(self, group: ChannelGroup) -> bool:
        """Whether `ratios` names a layer of this group."""
        return bool(self._own(group))

    def own(self, group: ChannelGroup) -> float | None:
        """The ratio that `ratios` gives it; None: it stays."""
        return next(iter(self._own(group).values()))

    def size(self, group: ChannelGroup) -> int:
        """The number of channels that fractions refer to."""
        return max(group.size, self.original.get(group.name, 0))

    def count(self, group: ChannelGroup, ratio: float) -> int:
        """How many channels must go now so that this fraction is gone."""
        return max(0, part(ratio, self.size(group)) - (self.size(group) - group.size))

    def largest(self, group: ChannelGroup) -> int:
        """How many channels of a group may go."""
        stay = max(self.min_channels, self.size(group) - part(self.max_ratio, self.size(group)))
        return max(0, min(group.size - stay, int(group.free.sum())))

    def rounded(self, group: ChannelGroup, count: int) -> int:
        """The number that may go of those that shall: never more than was asked for."""
        count = min(count, self.largest(group))
        return max(0, count - (count - group.size) % self.round_to)

    def _own(self, group: ChannelGroup) -> dict[str, float | None]:
        return {
            pattern: ratio
            for pattern, ratio in self.ratios.items()
            if any(matches(pattern, path) for path in group.producers)
        }
