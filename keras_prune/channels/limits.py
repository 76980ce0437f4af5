"""`Limits`: how many channels of each group should be removed, and how many can be."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.patterns import check_patterns, matches
from keras_prune.selection.thresholds import ThresholdRule
from keras_prune.validation import check_choice, check_fraction, check_integer, part
from tflite_export.reporting import Shown

Scope = Literal["group", "global", "isomorphic"]


@dataclasses.dataclass(frozen=True)
class Limits(Shown):
    """How much of each group is removed.

    Args:
        ratio: Fraction of the channels to remove, in [0, 1). Defaults to None: a budget decides.
        ratios: By pattern of the layers that make channels, another fraction, or None: they are kept. Defaults to none.
        scope: Which groups are ranked together: `"group"`, none; `"global"`, all; `"isomorphic"`, those of the same
            structure. Defaults to `"group"`.
        round_to: Keep a multiple of this many channels in each group. Defaults to 1.
        min_channels: Keep at least this many channels in each group. Defaults to 1.
        max_ratio: Remove at most this fraction of a group. Defaults to 0.9.
        original: The sizes that fractions refer to, by name of the group, for a model that is pruned in steps. Defaults
            to none: the present sizes.
        threshold: Which scores are too low, instead of a fraction. Defaults to None: a ratio or a budget decides.

    Raises:
        ValueError: A value outside its range.
        TypeError: `ratios` is no mapping.
    """

    ratio: float | None = None
    ratios: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    scope: Scope = "group"
    round_to: int = 1
    min_channels: int = 1
    max_ratio: float = 0.9
    original: Mapping[str, int] = dataclasses.field(default_factory=dict)
    threshold: ThresholdRule | None = None

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
        """Check `ratios` against the groups of a model.

        Raises:
            ValueError: A pattern matches no layer, or layers of one group get different ratios.
        """
        check_patterns(self.ratios, [path for group in analysis.groups for path in _named_by(group)], "ratios")
        for group in analysis.groups:
            found = self._own(group)
            if len(set(found.values())) > 1:
                raise ValueError(
                    "`ratios` gives different values to layers whose channels are removed together: "
                    f"{', '.join(group.producers)}. Received: {found}"
                )

    def has_own(self, group: ChannelGroup) -> bool:
        """Whether `ratios` names a layer of this group."""
        return bool(self._own(group))

    def own(self, group: ChannelGroup) -> float | None:
        """The ratio that `ratios` gives a group; None: it is kept."""
        return next(iter(self._own(group).values()))

    def size(self, group: ChannelGroup) -> int:
        """The number of channels that fractions refer to."""
        return max(group.size, self.original.get(group.name, 0))

    def count(self, group: ChannelGroup, ratio: float) -> int:
        """How many channels to remove now, so that this fraction is removed in all."""
        return max(0, part(ratio, self.size(group)) - (self.size(group) - group.size))

    def largest(self, group: ChannelGroup) -> int:
        """How many channels of a group can be removed."""
        keep = max(self.min_channels, self.size(group) - part(self.max_ratio, self.size(group)))
        return max(0, min(group.size - keep, int(group.free.sum())))

    def rounded(self, group: ChannelGroup, count: int) -> int:
        """How many channels are removed if this many should be: never more."""
        count = min(count, self.largest(group))
        return max(0, count - (count - group.size) % self.round_to)

    def _own(self, group: ChannelGroup) -> dict[str, float | None]:
        return {
            pattern: ratio
            for pattern, ratio in self.ratios.items()
            if any(matches(pattern, path) for path in _named_by(group))
        }


def _named_by(group: ChannelGroup) -> list[str]:
    """What patterns may name a group by: the layers that make its channels, and of those that make several kinds the
    kind too, `"attention:num_heads"`."""
    return [*group.producers, *([group.name] if ":" in group.name else [])]
