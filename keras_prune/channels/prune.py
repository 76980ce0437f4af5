"""`prune_channels`: a smaller model, the plan behind it, and a report."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_prune.channels.compensate import compensate_channels, compensation_batches
from keras_prune.channels.groups import ChannelAnalysis, analyze_channels
from keras_prune.channels.limits import Limits, Scope
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.rebuild import rebuild
from keras_prune.channels.recalibrate import recalibrate_statistics, recalibration_batches
from keras_prune.channels.removal_order import RemovalOrder
from keras_prune.channels.report import ChannelReport, make_report
from keras_prune.channels.request import ChannelRequest
from keras_prune.channels.scores import ChannelImportance, Score, score_groups
from keras_prune.costs.budget import Budget, BudgetRow, count_costs, meet_budget
from keras_prune.costs.counting import Costs, costs_of_trace
from keras_prune.tracing.kept_channels import Kept
from tflite_export.reporting import Shown


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelChoice(Shown):
    """How the removed channels were chosen.

    Args:
        importance: How channels were scored.
        scores: By name of the group the score of each of its channels, higher = keep; without frozen groups.
        limits: How much of each group could, and should, be removed.
    """

    importance: ChannelImportance
    scores: Mapping[str, np.ndarray]
    limits: Limits


@dataclasses.dataclass(frozen=True, eq=False)
class PrunedChannels(Shown):
    """Result of `prune_channels`. Printed, or shown in a notebook, it is its report.

    Args:
        model: The smaller model, not compiled: the state of an optimizer does not fit it.
        plan: Which channels were removed. Save it, and replay it with `prune_channels(model, plan=plan)`.
        report: Sizes before and after, what could not be pruned, and first what was asked for and not reached.
        choice: The scores behind it, for `explain`. Defaults to None: a plan was replayed.
    """

    model: keras.Model
    plan: ChannelPlan
    report: ChannelReport
    choice: ChannelChoice | None = None

    def __str__(self) -> str:
        return str(self.report)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def prune_channels(
    model: keras.Model,
    ratio: float | None = None,
    *,
    budget: Budget | None = None,
    ratios: Mapping[str, float | None] | None = None,
    importance: str | Score | ChannelImportance = "l2",
    scope: Scope = "group",
    round_to: int = 1,
    min_channels: int = 1,
    max_ratio: float = 0.9,
    data: Any = None,
    loss: Any = None,
    recalibrate: Any = None,
    compensate: Any = None,
    strict: bool = False,
    plan: ChannelPlan | None = None,
) -> PrunedChannels:
    """Remove filters, units, heads and embedding dimensions, together with everything that depends on them.

    Channels that depend on each other, because tensors are added or weights shared, are removed together. Where an
    operation has no rule (`register_rule`), the channels that reach it are kept, and the report says so. The smaller
    model computes what the original computes with zeros in the weights that read the removed channels, except where the
    report marks a group inexact.

    Args:
        model: A built Sequential or Functional model. It is not changed.
        ratio: Fraction of the channels to remove, in [0, 1). Half of the channels of every group leaves about a
            quarter of the parameters. Defaults to None: no channels except those that `ratios` names.
        budget: What the smaller model may cost instead, such as `Budget(macs=0.5)`: as few channels as possible are
            removed. Defaults to None.
        ratios: Other fractions, by pattern of the layers that make the channels; None: they are kept. The input
            channels of such a layer are not affected. Groups with their own ratio are not part of `scope`. Defaults to
            None: no others.
        importance: How channels are scored: a name, a function, or a `ChannelImportance`, which has the formulas.
            `"loss_change"` evaluates the model once for each channel. Defaults to `"l2"`.
            Of the weights alone: `"l2"`, `"l1"`, `"lamp"`, `"fpgm"`, `"batch_norm_scale"`, `"random"`.
            With data: `"wanda"`, `"activation_weight"`, `"mean_activation"`, `"apoz"`, `"entropy"`.
            With data and a loss: `"taylor"`, `"snip"`, `"fisher"`, `"loss_change"`.
        scope: Which channels are ranked together: `"group"` removes the same fraction from each group; `"global"` ranks
            the channels of all groups; `"isomorphic"` those of groups of the same structure (Fang et al. 2024), so that
            layers of another kind, whose scores mean something else, do not compete. Defaults to `"group"`.
        round_to: Keep a multiple of this many channels in each group; 8 suits most hardware. Defaults to 1.
        min_channels: Keep at least this many channels in each group. Defaults to 1.
        max_ratio: Remove at most this fraction of each group. Defaults to 0.9.
        data: What a criterion that needs data is measured on: arrays `x` or `(x, y)`, in batches of 32, or batches of
            them that can be read more than once (a list, a `tf.data.Dataset`, a `PyDataset`, a torch `DataLoader`). A
            few hundred samples suffice. The model runs as in inference, on a copy. Defaults to None.
        loss: The loss of criteria that need one, as `compile` takes it. Defaults to None: the one that the model was
            compiled with.
        recalibrate: Inputs (in a form that `data` may have) on which the BatchNormalization statistics of the smaller
            model are estimated again, before any fine-tuning: a cheap gain. Layers that are not trainable keep theirs.
            Defaults to None: all keep theirs.
        compensate: Inputs (in a form that `data` may have; no targets) on which what is left takes over the work of the
            removed channels, without training: layer by layer, by least squares, weights and biases are fitted so that
            the layer's outputs come as near as possible to those of the original. A thousand samples suffice. The
            report says how near each layer came; layers of other kinds, and those that are not trainable, are left as
            they are. Defaults to None: the remaining weights keep their values.
        strict: Raise if some operation has no rule. Defaults to False.
        plan: A plan to replay instead; then no `ratio`, `budget` or `ratios`. Defaults to None.

    Returns:
        A `PrunedChannels`: `.model`, `.plan` and `.report`.

    Raises:
        ValueError: A ratio outside [0, 1), conflicting ratios in one group, an unknown pattern or criterion, a budget
            that cannot be met (the message says the smallest that can), data that do not fit the model, a plan made
            for another model, a subclassed or unbuilt model, or, with `strict`, an operation without a rule.
        TypeError: `model` is no Keras model, or `budget`, `ratios` or `plan` is of another type.

    Example:

    ```python
    result = prune_channels(model, 0.5)
    print(result.report)
    small = result.model
    small.compile("adam", "mse")
    small.fit(x, y)  # fine-tuning recovers most of what was lost
    ```
    """
    chosen = ratio, budget, ratios, importance, scope, round_to, min_channels, max_ratio
    return carry_out(model, ChannelRequest(*chosen, data, loss, recalibrate, compensate, strict, plan))


def carry_out(model: keras.Model, request: ChannelRequest) -> PrunedChannels:
    """`prune_channels`, of a model that may have lost channels in earlier steps: see `ChannelRequest.original`."""
    analysis = analyze_channels(model)
    limits = request.limits
    limits.check(analysis)
    if request.strict and analysis.unknown:
        raise ValueError(f"Not every operation has a rule. Received: {'; '.join(analysis.unknown.values())}")
    batches = None if request.recalibrate is None else recalibration_batches(model, request.recalibrate)
    calibration = None if request.compensate is None else compensation_batches(model, request.compensate)
    costs = costs_of_trace(analysis.trace)
    plan = request.plan
    asked: Mapping[str, int] = {}
    choice = None
    budgets: tuple[BudgetRow, ...] = ()
    if plan is None:
        scores = score_groups(analysis, request.score, model, request.data, request.loss)
        choice = ChannelChoice(request.score, scores, limits)
        order = RemovalOrder(analysis, limits, scores)
        length, budgets = _length(order, analysis, costs, model, request)
        plan, asked = order.plan(length), order.asked(length)
    keep = plan.keep(analysis)
    small = rebuild(analysis.trace, keep)
    refits = () if calibration is None else compensate_channels(analysis.trace, keep, small, calibration)
    if batches is not None:
        recalibrate_statistics(small, batches)
    report = make_report(analysis, costs, plan, keep, asked, request, budgets, refits)
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
