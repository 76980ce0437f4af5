"""What `prune_channels` did, for the model and for each group."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_prune.channels.groups import ChannelAnalysis, unknown_lines
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.request import ChannelRequest
from keras_prune.costs.budget import Budget
from keras_prune.costs.counting import Costs, total
from keras_prune.costs.macs_change import MacsChange, ReportedMacs, macs_change, unknown_macs_lines
from keras_prune.reporting.numbers import change, number
from keras_prune.reporting.tables import table
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.products import Work


@dataclasses.dataclass(frozen=True)
class GroupReport:
    """What became of one channel group.

    Args:
        name: Its name, as in the analysis.
        before: Number of channels.
        asked: How many were to be left; None if a plan was replayed.
        after: Number of channels left.
        parameters_before: Parameters of the layers that make the channels, and of those that scale them. Each weight
            counts in one group, so the groups add up to the model, but for weights in which nothing can go.
        parameters_after: Those left: their layers may also have lost what they read.
        macs_before: Multiply-accumulates of these weights; None if they are not known.
        macs_after: Those left.
        frozen: Why none could go; empty if some could.
        inexact: Why the values of the channels that stay change; empty if they do not.
    """

    name: str
    before: int
    asked: int | None
    after: int
    parameters_before: int
    parameters_after: int
    macs_before: int | None
    macs_after: int | None
    frozen: str
    inexact: str


@dataclasses.dataclass(frozen=True)
class ChannelReport(ReportedMacs):
    """What `prune_channels` did. Its `str` is a table.

    Args:
        model: Name of the model.
        ratio: The fraction of channels that was asked for, or None.
        budget: What was asked for instead, or None.
        groups: What became of each group.
        parameters_before: Parameters of the original model.
        parameters_after: Parameters of the smaller one.
        macs: What became of the multiply-accumulates, and of which operations they are not known.
        unknown: Operations that no rule covers, by path, and the reason: the channels that reach them stay.
    """

    model: str
    ratio: float | None
    budget: Budget | None
    groups: tuple[GroupReport, ...]
    parameters_before: int
    parameters_after: int
    macs: MacsChange
    unknown: Mapping[str, str]

    @property
    def frozen(self) -> dict[str, str]:
        """The groups of which nothing could go, and the reason."""
        return {group.name: group.frozen for group in self.groups if group.frozen}

    @property
    def inexact(self) -> dict[str, str]:
        """The groups that lost channels and whose other channels compute something else now, and the reason."""
        return {group.name: group.inexact for group in self.groups if group.inexact and group.after < group.before}

    def __str__(self) -> str:
        headings = ("Group", "Channels", "Asked", "Left", "Parameters", "Left", "MACs", "Left", "Note")
        rows = [
            (
                group.name,
                str(group.before),
                "-" if group.asked is None else str(group.asked),
                str(group.after),
                f"{group.parameters_before:,}",
                f"{group.parameters_after:,}",
                number(group.macs_before),
                number(group.macs_after),
                group.frozen or group.inexact,
            )
            for group in self.groups
        ]
        text = table(f"Channels of '{self.model}'", headings, rows)
        text += f"\nParameters: {change(self.parameters_before, self.parameters_after)}\nMACs: {self.macs}"
        if self.budget is not None:
            text += f"\nAsked: {self.budget}"
        return text + unknown_macs_lines(self.macs.unknown) + unknown_lines(self.unknown)


def make_report(
    analysis: ChannelAnalysis,
    costs: Costs,
    plan: ChannelPlan,
    keep: np.ndarray,
    asked: Mapping[str, int],
    request: ChannelRequest,
) -> ChannelReport:
    """The report of a plan that was carried out.

    Args:
        analysis: The channels.
        costs: What the model costs.
        plan: What went.
        keep: For each atom, whether it stayed.
        asked: By name of the group how many channels should go; empty if a plan was replayed.
        request: What was asked for.
    """
    kept, whole = Kept(keep), Kept(np.ones_like(keep))
    weights, work = _by_group(analysis, costs)
    limits = request.limits
    rows = []
    for index, group in enumerate(analysis.groups):
        own = asked.get(group.name, limits.count(group, request.ratio or 0.0))
        macs = [_macs(costs, work[index], state) for state in (whole, kept)]
        rows.append(
            GroupReport(
                name=group.name,
                before=group.size,
                asked=group.size - own if asked else None,
                after=group.size - len(plan.removed.get(group.name, ())),
                parameters_before=sum(costs.size(weight, whole) for weight in weights[index]),
                parameters_after=sum(costs.size(weight, kept) for weight in weights[index]),
                macs_before=macs[0],
                macs_after=macs[1],
                frozen=group.frozen,
                inexact=group.inexact,
            )
        )
    return ChannelReport(
        model=analysis.model,
        ratio=request.ratio,
        budget=request.budget,
        groups=tuple(rows),
        parameters_before=costs.parameters(whole),
        parameters_after=costs.parameters(kept),
        macs=macs_change(costs, whole, costs, kept),
        unknown=analysis.unknown,
    )


def _macs(costs: Costs, work: list[Work] | None, kept: Kept) -> int | None:
    return None if work is None else total([costs.macs_of(each, kept) for each in work])


def _by_group(analysis: ChannelAnalysis, costs: Costs) -> tuple[list[list[Any]], list[list[Work] | None]]:
    """The weights and the work of each group: a weight belongs to the channels that it makes, else to those it scales,
    else to those it reads; work without a weight to the layer's first channels. None: it is not known."""
    groups = analysis.groups
    owner: dict[int, int] = {}
    for role in ("out", "through", "in"):
        for index, group in enumerate(groups):
            for member in group.members:
                if member.role == role:
                    owner.setdefault(id(member.weight), index)
    makers = {path: index for index, group in reversed(list(enumerate(groups))) for path in group.producers}
    weights: list[list[Any]] = [[] for _ in groups]
    work: list[list[Work]] = [[] for _ in groups]
    for weight in costs.weights:
        if id(weight) in owner:
            weights[owner[id(weight)]].append(weight)
    for each in (work for use in costs.uses for work in use.work):
        mine = makers.get(each.layer) if each.weight is None else owner.get(id(each.weight))
        if mine is not None:
            work[mine].append(each)
    members = [member for group in groups for member in group.members]
    unknown = {owner[id(member.weight)] for member in members if member.layer in costs.unknown}
    unknown |= {makers[path] for path in costs.unknown if path in makers}
    return weights, [None if index in unknown else own for index, own in enumerate(work)]
