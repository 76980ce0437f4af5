"""Plans: which channels go. A plan is plain data, can be saved, and replayed on a model of the same structure."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.channels.scores import ChannelImportance
from keras_prune.patterns import check_patterns, matches


@dataclasses.dataclass(frozen=True)
class ChannelPlan:
    """Which channels of which group go.

    Args:
        fingerprint: Of the model that the plan was made for; see `ChannelAnalysis`.
        removed: By name of the group the positions, in order, of the channels that go.
    """

    fingerprint: str
    removed: Mapping[str, tuple[int, ...]]

    def save(self, path: str | pathlib.Path) -> None:
        """Writes the plan as JSON."""
        content = {"fingerprint": self.fingerprint, "removed": {k: list(v) for k, v in self.removed.items()}}
        pathlib.Path(path).write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "ChannelPlan":
        """Reads a plan that `save` wrote.

        Raises:
            ValueError: The file holds something else.
        """
        try:
            content = json.loads(pathlib.Path(path).read_text())
            removed = {str(name): tuple(map(int, positions)) for name, positions in content["removed"].items()}
            return cls(str(content["fingerprint"]), removed)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"The file holds no channel plan. Received: '{path}' ({error})") from error

    def keep(self, analysis: ChannelAnalysis) -> np.ndarray:
        """For each atom of the model, whether it stays.

        Raises:
            ValueError: The plan was made for another model, or cannot be carried out.
        """
        if self.fingerprint != analysis.fingerprint:
            raise ValueError(
                "The plan was made for a model of another structure. "
                f"Received: a plan for {self.fingerprint}, the model '{analysis.model}' is {analysis.fingerprint}"
            )
        atoms = analysis.trace.found.atoms
        keep = np.ones(len(atoms), dtype=bool)
        groups = {group.name: group for group in analysis.groups}
        for name, positions in self.removed.items():
            group = groups.get(name)
            places = np.array(positions, dtype=np.int64)
            if group is None or (places < 0).any() or (places >= group.size).any() or not group.free[places].all():
                raise ValueError(f"The plan removes channels that must stay, or do not exist. Received: '{name}'")
            keep[group.channels[places]] = False
        if any(not keep[row].any() for row in analysis.never_empty):
            raise ValueError(f"The plan leaves a layer or tensor without channels. Received: {dict(self.removed)}")
        return keep[atoms.roots(np.arange(len(atoms)))]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What holds for every group.

    Args:
        ratio: Fraction of the channels to remove, in [0, 1).
        ratios: By pattern of the layers that make channels, another fraction, or None: those stay.
        scope: `"group"` or `"global"`.
        round_to: Keep a multiple of this many channels.
        min_channels: Keep at least this many.
        max_ratio: Remove at most this fraction of a group.
    """

    ratio: float
    ratios: Mapping[str, float | None]
    scope: str
    round_to: int
    min_channels: int
    max_ratio: float

    def __post_init__(self) -> None:
        for name, value in {"ratio": self.ratio, "max_ratio": self.max_ratio, **self.ratios}.items():
            if value is None and name in self.ratios:
                continue
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
                raise ValueError(f"A ratio must be in [0, 1). Received: {name}={value!r}")
        if self.scope not in ("group", "global"):
            raise ValueError(f'`scope` must be "group" or "global". Received: scope={self.scope!r}')
        for name, count in {"round_to": self.round_to, "min_channels": self.min_channels}.items():
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ValueError(f"`{name}` must be an integer of at least 1. Received: {name}={count!r}")


def make_plan(analysis: ChannelAnalysis, limits: Limits, importance: ChannelImportance) -> ChannelPlan:
    """Chooses the channels that go: those of the lowest scores, ties broken by position, the last first.

    Raises:
        ValueError: A pattern matches no layer that makes channels, or layers of one group get different ratios.
    """
    check_patterns(limits.ratios, [path for group in analysis.groups for path in group.producers], "ratios")
    score = importance.function()
    scores = {group.name: importance.rank(group, score) for group in analysis.groups if not group.frozen}
    asked = {group.name: _ratio(group, limits) for group in analysis.groups}
    groups = [group for group in analysis.groups if not group.frozen and asked[group.name] is not None]
    counts = {group.name: int((asked[group.name] or 0.0) * group.size + 1e-9) for group in groups}
    if limits.scope == "global":
        counts.update(_global_counts([g for g in groups if not _has_own(g, limits)], scores, limits))
    removed = {group.name: _lowest(group, scores[group.name], counts[group.name], limits) for group in groups}
    _refill(analysis, removed, scores)
    return ChannelPlan(
        analysis.fingerprint, {name: tuple(sorted(places)) for name, places in removed.items() if places}
    )


def _ratio(group: ChannelGroup, limits: Limits) -> float | None:
    found = _own_ratios(group, limits)
    if len(set(found.values())) > 1:
        raise ValueError(
            f"`ratios` says different things of layers whose channels go together: {', '.join(group.producers)}. "
            f"Received: {found}"
        )
    return next(iter(found.values()), limits.ratio)


def _has_own(group: ChannelGroup, limits: Limits) -> bool:
    return bool(_own_ratios(group, limits))


def _own_ratios(group: ChannelGroup, limits: Limits) -> dict[str, float | None]:
    return {
        pattern: ratio
        for pattern, ratio in limits.ratios.items()
        if any(matches(pattern, path) for path in group.producers)
    }


def _largest(group: ChannelGroup, limits: Limits) -> int:
    """How many channels of a group may go."""
    stay = max(limits.min_channels, group.size - int(limits.max_ratio * group.size + 1e-9))
    return max(0, min(group.size - stay, int(group.free.sum())))


def _lowest(group: ChannelGroup, scores: np.ndarray, count: int, limits: Limits) -> list[int]:
    count = min(count, _largest(group, limits))
    count -= (count - group.size) % limits.round_to  # never more than was asked for
    places = np.flatnonzero(group.free)
    # Of equal scores the last go first.
    order = places[np.lexsort((-places, scores[places]))]
    return order[: max(count, 0)].tolist()


def _global_counts(groups: Sequence[ChannelGroup], scores: Mapping[str, np.ndarray], limits: Limits) -> dict[str, int]:
    """How many channels of each group are among the lowest of all."""
    target = int(limits.ratio * sum(group.size for group in groups) + 1e-9)
    ranked = []
    for index, group in enumerate(groups):
        own = np.sort(scores[group.name][group.free])[: _largest(group, limits)]
        ranked += [(float(score), index) for score in own]
    counts = {group.name: 0 for group in groups}
    for _, index in sorted(ranked)[:target]:
        counts[groups[index].name] += 1
    return counts


def _refill(analysis: ChannelAnalysis, removed: dict[str, list[int]], scores: Mapping[str, np.ndarray]) -> None:
    """Brings back the best channel of each tensor that would have none."""
    where = {
        int(channel): (group.name, place) for group in analysis.groups for place, channel in enumerate(group.channels)
    }
    gone = {name: set(places) for name, places in removed.items()}
    for row in analysis.never_empty:
        places = [where[channel] for channel in row.tolist()]
        if all(place in gone.get(name, ()) for name, place in places):
            name, place = max(places, key=lambda item: (scores[item[0]][item[1]], -item[1]))
            gone[name].discard(place)
            removed[name].remove(place)
