"""`ChannelReport`: the model, and each of its channel groups, before and after `prune_channels`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_prune.channels.groups import ChannelAnalysis, unknown_notes
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.ranked_together import GroupThreshold
from keras_prune.channels.request import ChannelRequest
from keras_prune.channels.shortfall import shortfall
from keras_prune.costs.budget import Budget, BudgetRow, budget_table
from keras_prune.costs.counting import Costs, total
from keras_prune.costs.macs_change import MacsChange, ReportedMacs, macs_change, unknown_macs_notes
from keras_prune.expansion.report import lines_of
from keras_prune.reconstruction.refitting.layer_refit import LayerRefit, refit_notes, refit_table
from keras_prune.reporting.numbers import change, number
from keras_prune.selection.thresholds import ThresholdRule
from keras_prune.selection.unit_thresholds import threshold_text
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.products import Work
from tflite_export.reporting import Bars, Report, Shown, Table


@dataclasses.dataclass(frozen=True)
class GroupReport(Shown):
    """One channel group, before and after pruning.

    Args:
        name: Its name, as in the analysis.
        before: Number of channels before.
        asked: Number of channels that should have been kept; None if a plan was replayed. Limits may keep more.
        after: Number of channels after.
        parameters_before: Parameters of the layers that make the channels, and of those that scale them, before. Each
            weight counts in one group, so the groups add up to the model, except for weights without such channels.
        parameters_after: Parameters of the same layers after, which may also have fewer input channels.
        macs_before: Multiply-accumulates of these weights before; None if they are unknown.
        macs_after: Multiply-accumulates of these weights after, likewise.
        frozen: Why no channel could be removed; empty if some could.
        inexact: Why the values of the kept channels change; empty if they do not.
        threshold: The score below which channels should be removed. Defaults to None: no threshold was asked for.
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
    threshold: float | None = None


@dataclasses.dataclass(frozen=True)
class ChannelReport(ReportedMacs, Report):
    """Report of `prune_channels`. Its `str` is a table; `records()` has a record of each group.

    Args:
        model: Name of the model.
        ratio: The fraction of channels that was asked for, or None.
        budget: The budget that was asked for instead, or None.
        groups: Each group before and after.
        parameters_before: Parameters of the original model.
        parameters_after: Parameters of the smaller one.
        macs: Multiply-accumulates before and after, and of which operations they are unknown.
        unknown: Operations that no rule covers, by path, and the reason: the channels that reach them are kept.
        budgets: What was asked for and reached of each value of the budget. Defaults to none: there was no budget.
        missed: What was asked for and not reached, a sentence each; the report begins with them. Defaults to none.
        threshold: The threshold that was asked for instead. Defaults to None.
        expanded: If the model was first written out as a graph, what became of its custom layers, a line each. Defaults
            to none.
        compensated: The layers that were fitted again, or should have been, in the order of the graph; none
            if each layer computes what it did. Defaults to None: nothing was compensated.
    """

    model: str
    ratio: float | None
    budget: Budget | None
    groups: tuple[GroupReport, ...]
    parameters_before: int
    parameters_after: int
    macs: MacsChange
    unknown: Mapping[str, str]
    budgets: tuple[BudgetRow, ...] = ()
    missed: tuple[str, ...] = ()
    threshold: ThresholdRule | None = None
    expanded: tuple[str, ...] = ()
    compensated: tuple[LayerRefit, ...] | None = None

    @property
    def frozen(self) -> dict[str, str]:
        """The groups without a channel that could be removed, and the reason."""
        return {group.name: group.frozen for group in self.groups if group.frozen}

    @property
    def inexact(self) -> dict[str, str]:
        """The pruned groups whose kept channels compute something else now, and the reason."""
        return {group.name: group.inexact for group in self.groups if group.inexact and group.after < group.before}

    def _tables(self) -> list[Table]:
        headings = ("Group", "Channels", "Asked", "Parameters", "MACs")
        rows = [
            (
                group.name,
                _before_after(group.before, group.after),
                number(group.asked),
                _before_after(group.parameters_before, group.parameters_after),
                _before_after(group.macs_before, group.macs_after),
            )
            for group in self.groups
        ]
        return [
            Table(headings, rows, f"Channels of '{self.model}', before -> after"),
            *budget_table(self.budgets),
            *refit_table(self.compensated),
        ]

    def _notes(self) -> list[str]:
        return [
            f"Parameters: {change(self.parameters_before, self.parameters_after)}",
            f"MACs: {self.macs}",
            *([] if self.budget is None else [f"Asked: {self.budget}"]),
            *([] if self.threshold is None else [f"Asked: to remove what {threshold_text(self.threshold)}"]),
            *_listed("No channel can be removed from:", [f"{name}: {why}" for name, why in self.frozen.items()]),
            *_listed("The kept channels change in:", [f"{name}: {why}" for name, why in self.inexact.items()]),
            *unknown_macs_notes(self.macs.unknown),
            *unknown_notes(self.unknown),
            *refit_notes(self.compensated),
            *self.expanded,
        ]

    def _bars(self) -> Bars:
        names = [group.name for group in self.groups]
        series = {"Before": [group.before for group in self.groups], "After": [group.after for group in self.groups]}
        return Bars(f"Channels of '{self.model}'", "channels", names, series)


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    """A title and the lines below it; nothing if there are none."""
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _before_after(before: int | None, after: int | None) -> str:
    """Both numbers, or one where they are the same; a dash if they are unknown."""
    return number(before) if before == after else f"{number(before)} -> {number(after)}"


def make_report(
    analysis: ChannelAnalysis,
    costs: Costs,
    plan: ChannelPlan,
    keep: np.ndarray,
    asked: Mapping[str, int],
    request: ChannelRequest,
    budgets: tuple[BudgetRow, ...] = (),
    thresholds: Mapping[str, GroupThreshold] | None = None,
    compensated: tuple[LayerRefit, ...] | None = None,
) -> ChannelReport:
    """Return the report of a plan that was carried out.

    Args:
        analysis: The channels.
        costs: What the model costs.
        plan: Which channels were removed.
        keep: For each atom, whether it was kept.
        asked: By name of the group how many channels should be removed; empty if a plan was replayed.
        request: What was asked for.
        budgets: What was reached of each value of the budget. Defaults to none.
        thresholds: By name of the group what the threshold is for it. Defaults to None: there was none.
        compensated: The layers that were fitted again. Defaults to None: nothing was compensated.
    """
    thresholds = thresholds or {}
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
                threshold=thresholds[group.name].value if group.name in thresholds else None,
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
        budgets=budgets,
        missed=shortfall(analysis, plan, request, thresholds),
        threshold=limits.threshold,
        expanded=lines_of(analysis.trace.model),
        compensated=compensated,
    )


def _macs(costs: Costs, work: list[Work] | None, kept: Kept) -> int | None:
    return None if work is None else total([costs.macs_of(each, kept) for each in work])


def _by_group(analysis: ChannelAnalysis, costs: Costs) -> tuple[list[list[Any]], list[list[Work] | None]]:
    """The weights and the work of each group: a weight belongs to the channels that it makes, else to those it scales,
    else to those it reads; work without a weight to the layer's first channels. None: it is unknown."""
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
