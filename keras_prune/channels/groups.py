"""`analyze_channels`: the channel groups of a model, and which channels can be removed."""

import collections
import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_prune.expansion.follow import follow
from keras_prune.expansion.report import lines_of
from keras_prune.tracing.binding import Binding
from keras_prune.tracing.labels import FIXED, collapse
from keras_prune.tracing.trace import Trace
from tflite_export.reporting import Bars, Report, Shown, Table


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelGroup(Shown):
    """Group of channels that layers share: a channel is removed from every member, or from none.

    Args:
        name: The first layer that makes the channels, and, if it makes several kinds, which: `"attention:num_heads"`.
        producers: The paths of all layers that make them.
        channels: One number for each channel, by which the members' `labels` refer to it.
        members: The axes of weights that belong to it; their `labels` hold FIXED where other channels are.
        reasons: For each channel, why it is always kept; empty if it can be removed.
        inexact: Why removing some changes the values of the others; empty if it does not.
    """

    name: str
    producers: tuple[str, ...]
    channels: np.ndarray
    members: tuple[Binding, ...]
    reasons: tuple[str, ...]
    inexact: str

    @property
    def size(self) -> int:
        """Number of channels."""
        return len(self.channels)

    @functools.cached_property
    def free(self) -> np.ndarray:
        """For each channel, whether it can be removed."""
        return np.array([not reason for reason in self.reasons])

    @property
    def frozen(self) -> str:
        """Why no channel can be removed; empty if some can."""
        return "" if self.free.any() else self.reasons[0]


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelAnalysis(Report):
    """Channel groups of a model, as a report. Its `str` is a table; `records()` has a record of each group.

    Args:
        model: Name of the model.
        groups: Every group, in the order of the model.
        unknown: Operations that no rule covers, by path, and the reason: the channels that reach them are kept.
        fingerprint: The same for models that differ only in the values of their weights.
        trace: What is known of each tensor.
        never_empty: Sets of channels, those of one tensor, of which at least one is kept.
        uniform: Sets of groups, by name, that must keep equally many channels. Defaults to none.
    """

    model: str
    groups: tuple[ChannelGroup, ...]
    unknown: dict[str, str]
    fingerprint: str
    trace: Trace
    never_empty: tuple[np.ndarray, ...]
    uniform: tuple[tuple[str, ...], ...] = ()

    def _tables(self) -> list[Table]:
        headings = ("Group", "Channels", "Weights [axis]", "State")
        rows = [(group.name, str(group.size), _weights(group), _state(group)) for group in self.groups]
        return [Table(headings, rows, f"Channel groups of '{self.model}'")]

    def _notes(self) -> list[str]:
        return [*unknown_notes(self.unknown), *lines_of(self.trace.model)]

    def _rows(self) -> list[dict[str, Any]]:
        return [_record(group) for group in self.groups]

    def _facts(self) -> dict[str, Any]:
        return {"model": self.model, "fingerprint": self.fingerprint, "unknown": dict(self.unknown)}

    def _bars(self) -> Bars:
        free = [int(group.free.sum()) for group in self.groups]
        kept = [group.size - count for group, count in zip(self.groups, free, strict=True)]
        names = [group.name for group in self.groups]
        return Bars(
            f"Channel groups of '{self.model}'", "channels", names, {"Can be removed": free, "Always kept": kept}
        )


def _weights(group: ChannelGroup) -> str:
    return ", ".join(dict.fromkeys(f"{member.layer}:{member.name}[{member.axis}]" for member in group.members))


def _record(group: ChannelGroup) -> dict[str, Any]:
    members = [
        {"layer": member.layer, "weight": member.name, "axis": member.axis, "role": member.role}
        for member in group.members
    ]
    return {
        "name": group.name,
        "producers": group.producers,
        "channels": group.size,
        "free": int(group.free.sum()),
        "members": members,
        "reasons": sorted(set(filter(None, group.reasons))),
        "inexact": group.inexact,
    }


def _state(group: ChannelGroup) -> str:
    if group.frozen:
        return f"frozen: {group.frozen}"
    inexact = f"; inexact: {group.inexact}" if group.inexact else ""
    if group.free.all():
        return "free" + inexact
    why = next(reason for reason in group.reasons if reason)
    return f"{int(group.free.sum())} free; others: {why}" + inexact


def analyze_channels(model: keras.Model) -> ChannelAnalysis:
    """Find the channels of a model, group those that depend on each other, and say which are always kept, and why.

    Args:
        model: A built model, models in it included; see `expand` for those that are no graph. It is only read.

    Returns:
        A `ChannelAnalysis`; print it for a table, `plot` it for bars.

    Raises:
        ValueError: The model is not built, has pruning masks, or cannot be written out.
        TypeError: `model` is no Keras model.

    Example:

    ```python
    analysis = analyze_channels(model)
    print(analysis)
    [group.name for group in analysis.groups if group.frozen]
    ```
    """
    found = follow(model)
    model = found.model
    atoms = found.found.atoms
    roots = atoms.roots(np.arange(len(atoms)))
    frozen, inexact = atoms.frozen(), atoms.inexact()
    owners = _owners(found, roots)
    members = _members(found, roots, [channels for _, channels in owners])
    groups = [
        ChannelGroup(
            name=names[0],
            producers=tuple(dict.fromkeys(name.split(":")[0] for name in names)),
            channels=channels,
            members=tuple(bindings),
            reasons=tuple(frozen.get(channel, "") for channel in channels.tolist()),
            inexact=next((inexact[channel] for channel in channels.tolist() if channel in inexact), ""),
        )
        for (names, channels), bindings in zip(owners, members, strict=True)
    ]
    never_empty = _rows(found, roots)
    return ChannelAnalysis(
        model.name, tuple(groups), dict(found.unknown), _fingerprint(model, groups), found, never_empty
    )


def _owners(found: Trace, roots: np.ndarray) -> list[tuple[list[str], np.ndarray]]:
    """Layers that share a channel, with all their channels.

    A layer that makes channels of several kinds (heads, and dimensions of each) is named with the kind.
    """
    minted = found.found.minted
    kinds = collections.Counter(owner for owner, _ in minted)
    names: list[list[str]] = []
    sets: list[set[int]] = []
    where: dict[int, int] = {}  # channel -> index of its set
    for (owner, key), (path, atoms) in minted.items():
        mine = set(roots[atoms].tolist())
        target, *others = sorted({where[channel] for channel in mine if channel in where}) or [len(sets)]
        if target == len(sets):
            names.append([])
            sets.append(set())
        for index in others:
            names[target] += names[index]
            sets[target] |= sets[index]
            where.update(dict.fromkeys(sets[index], target))
            names[index], sets[index] = [], set()
        names[target].append(f"{path}:{key}" if kinds[owner] > 1 else path.removesuffix(":layer"))
        sets[target] |= mine
        where.update(dict.fromkeys(mine, target))
    return [(each, np.array(sorted(mine), dtype=np.int64)) for each, mine in zip(names, sets, strict=True) if mine]


def _members(found: Trace, roots: np.ndarray, owners: list[np.ndarray]) -> list[list[Binding]]:
    """The bindings of each group, with the group's channels in place of atoms and FIXED for all others."""
    group_of = np.full(len(roots) + 1, FIXED)  # FIXED is -1: the last entry
    for index, channels in enumerate(owners):
        group_of[channels] = index
    channel_of = np.append(roots, FIXED)
    members: list[list[Binding]] = [[] for _ in owners]
    for binding in found.found.bindings.values():
        labels = channel_of[binding.labels]
        groups = group_of[labels]
        if (groups == groups[:1]).all():  # as for most bindings: all its channels are of one group, or none is of any
            for index in groups[:1][groups[:1] != FIXED].tolist():
                members[index].append(dataclasses.replace(binding, labels=labels))
            continue
        for index in np.unique(groups[groups != FIXED]).tolist():
            members[index].append(dataclasses.replace(binding, labels=np.where(groups == index, labels, FIXED)))
    return members


def _rows(found: Trace, roots: np.ndarray) -> tuple[np.ndarray, ...]:
    """The channels of each layer, and of each tensor, that has no others: each set of them once."""
    rows = [atoms for _, atoms in found.found.minted.values()]
    further = (plane for planes in found.further.values() for plane in planes)
    rows += [collapse([labels])[0] for labels in (*found.tensors.values(), *further)]
    channels = (roots[row].ravel() for row in rows if row.size and row.min() != FIXED)
    different = {row.tobytes(): row for row in channels}  # most tensors have the channels of others
    sets = map(np.unique, different.values())
    return tuple({row.tobytes(): row for row in sets}.values())


def _fingerprint(model: keras.Model, groups: list[ChannelGroup]) -> str:
    weights = [[weight.path.rsplit("/", 1)[-1], list(weight.shape)] for weight in model.weights]
    text = json.dumps([weights, [[group.name, group.size] for group in groups]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def unknown_notes(unknown: Mapping[str, str]) -> list[str]:
    """Lines for a report: the operations without a rule. Empty if there are none."""
    return ["Channels that reach these are kept:", *(f"  {reason}" for reason in unknown.values())] if unknown else []
