"""`carry_out_on`: what a request for channels asks is scored, chosen, removed and reported."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_prune.channels.compensate import compensate_channels
from keras_prune.channels.groups import ChannelAnalysis
from keras_prune.channels.limits import Limits
from keras_prune.channels.merge import merge_channels
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.ranked_together import GroupThreshold
from keras_prune.channels.rebuild import rebuild
from keras_prune.channels.removal_order import RemovalOrder
from keras_prune.channels.report import ChannelReport, make_report
from keras_prune.channels.request import ChannelRequest
from keras_prune.channels.scores import ChannelImportance, score_groups
from keras_prune.costs.budget import BudgetRow, count_costs, meet_budget
from keras_prune.costs.counting import Costs, costs_of_trace
from keras_prune.reconstruction.recalibrate import recalibrate_statistics, recalibration_batches
from keras_prune.reconstruction.refitting.refit import compensation_batches
from keras_prune.tracing.kept_channels import Kept
from tflite_export.reporting import Shown


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelChoice(Shown):
    """How the removed channels were chosen.

    Args:
        importance: How channels were scored.
        scores: By name of the group the score of each of its channels, higher = keep; without frozen groups.
        limits: How much of each group could, and should, be removed.
        thresholds: By name of the group what the threshold is for it; empty if none was asked for. Defaults to none.
    """

    importance: ChannelImportance
    scores: Mapping[str, np.ndarray]
    limits: Limits
    thresholds: Mapping[str, GroupThreshold] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class PrunedChannels(Shown):
    """Result of `prune_channels`. Printed, or shown in a notebook, it is its report.

    Args:
        model: The smaller model, not compiled: the state of an optimizer does not fit it.
        plan: Which channels were removed. Save it, and replay it with `prune_channels(model, plan=plan)`.
        report: Sizes before and after, what could not be pruned, and first what was asked for and not reached.
        choice: The scores behind it, for `explain`. Defaults to None: a plan was replayed.
        sizes: With `keep_classes`, by name of an input whose sizes are open those for which the channels were followed,
            for `explain`. Defaults to none.
    """

    model: keras.Model
    plan: ChannelPlan
    report: ChannelReport
    choice: ChannelChoice | None = None
    sizes: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.report)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def carry_out_on(analysis: ChannelAnalysis, request: ChannelRequest) -> PrunedChannels:
    """Remove what is asked of the channels that were found."""
    model = analysis.trace.model  # what it was written out as, perhaps
    limits = request.limits
    limits.check(analysis)
    if request.strict and analysis.unknown:
        raise ValueError(f"Not every operation has a rule. Received: {'; '.join(analysis.unknown.values())}")
    batches = None if request.recalibrate is None else recalibration_batches(model, request.recalibrate)
    merged = isinstance(request.compensate, str)  # "weights": of those alone
    given = None if merged else request.compensate
    calibration = None if given is None else compensation_batches(model, given)
    costs = costs_of_trace(analysis.trace)
    plan = request.plan
    asked: Mapping[str, int] = {}
    choice = None
    budgets: tuple[BudgetRow, ...] = ()
    if plan is None:
        scores = score_groups(analysis, request.score, model, request.data, request.loss)
        order = RemovalOrder(analysis, limits, scores)
        choice = ChannelChoice(request.score, scores, limits, order.thresholds)
        length, budgets = _length(order, analysis, costs, model, request)
        plan, asked = order.plan(length), order.asked(length)
    keep = plan.keep(analysis)
    values, refits = merge_channels(analysis.trace, Kept(keep)) if merged else ({}, None)
    small = rebuild(analysis.trace, keep, values)
    if calibration is not None:
        refits = compensate_channels(analysis.trace, keep, small, calibration, batches)
    elif batches is not None:
        recalibrate_statistics(small, batches)
    thresholds = {} if choice is None else choice.thresholds
    report = make_report(analysis, costs, plan, keep, asked, request, budgets, thresholds, refits)
    return PrunedChannels(small, plan, report, choice)


def _length(
    order: RemovalOrder, analysis: ChannelAnalysis, costs: Costs, model: keras.Model, request: ChannelRequest
) -> tuple[int, tuple[BudgetRow, ...]]:
    """How much of the removal order the ratio, or the budget, takes, and what is reached of the budget."""
    if request.budget is None:
        return order.length(request.ratio or 0.0), ()

    def left(length: int) -> Mapping[str, int | None]:
        return count_costs(costs, Kept(order.plan(length).keep(analysis)))

    def build(length: int) -> keras.Model:
        return rebuild(analysis.trace, order.plan(length).keep(analysis))

    hint = "Allow more with `max_ratio`, `min_channels`, `round_to` or `ratios`. "
    whole = left_of_all(costs, analysis)
    return meet_budget(request.budget, model, whole, len(order), left, build, hint, costs.unknown)


def left_of_all(costs: Costs, analysis: ChannelAnalysis) -> dict[str, int | None]:
    """What the original costs."""
    return count_costs(costs, Kept(ChannelPlan(analysis.fingerprint, {}).keep(analysis)))
