"""`prune_channels`: a smaller model, the plan that made it, and the report of what was done."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_prune.channels.groups import ChannelAnalysis, analyze_channels
from keras_prune.channels.limits import Limits, Scope
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.rebuild import rebuild
from keras_prune.channels.recalibrate import recalibrate_statistics, recalibration_batches
from keras_prune.channels.removal_order import RemovalOrder
from keras_prune.channels.report import ChannelReport, make_report
from keras_prune.channels.request import ChannelRequest
from keras_prune.channels.scores import ChannelImportance, Score, score_groups
from keras_prune.costs.budget import Budget, count_costs, meet_budget
from keras_prune.costs.counting import Costs, costs_of_trace
from keras_prune.tracing.kept_channels import Kept


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelChoice:
    """How the channels that went were chosen.

    Args:
        importance: How they were scored.
        scores: By name of the group the score of each of its channels, higher = keep; of those groups of which some
            could go.
        limits: What was asked for.
    """

    importance: ChannelImportance
    scores: Mapping[str, np.ndarray]
    limits: Limits


@dataclasses.dataclass(frozen=True, eq=False)
class PrunedChannels:
    """What `prune_channels` returns. Its `str` is the report.

    Args:
        model: The smaller model, not compiled: the state of an optimizer does not fit it.
        plan: Which channels went. Save it, and replay it with `prune_channels(model, plan=plan)`.
        report: What was asked, what was done, and what could not be.
        choice: The scores behind it, for `explain`; None if a plan was replayed.
    """

    model: keras.Model
    plan: ChannelPlan
    report: ChannelReport
    choice: ChannelChoice | None = None

    def __str__(self) -> str:
        return str(self.report)


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
    strict: bool = False,
    plan: ChannelPlan | None = None,
) -> PrunedChannels:
    """Removes filters, units, heads and embedding dimensions, with everything that depended on them.

    Channels that must go together, because tensors are added or weights shared, go together. Where an operation has no
    rule (`register_rule`), the channels that reach it stay, and the report says so. Zeroing what reads the removed
    channels in the original would give the same outputs, except where the report marks a group inexact.

    Args:
        model: A built Sequential or Functional model. It is not changed.
        ratio: Fraction of the channels to remove, in [0, 1). Half of the channels of every group leaves about a
            quarter of the parameters. By default none, but for what `ratios` says.
        budget: What the smaller model may cost instead, such as `Budget(macs=0.5)`: as few channels as possible go.
        ratios: Other fractions, by pattern of the layers that make the channels; None: these stay. What such a layer
            reads is not touched by it. Groups with their own ratio are not part of `scope`.
        importance: How channels are scored: a name, a function, or a `ChannelImportance`, which lists the names. Of
            the weights alone: `"l2"`, `"l1"`, `"fpgm"`, `"lamp"`, `"batch_norm_scale"`, `"random"`. With data:
            `"mean_activation"`, `"apoz"`, `"entropy"`, `"activation_weight"`. With data and a loss: `"taylor"`,
            `"fisher"`, and `"loss_change"`, which evaluates the model once for each channel.
        scope: `"group"` removes the same fraction from each group; `"global"` ranks the channels of all groups
            together; `"isomorphic"` ranks together those of groups of the same structure (Fang et al. 2024), so that
            layers of another sort, whose scores mean something else, do not compete.
        round_to: Keep a multiple of this many channels in each group; 8 suits most hardware.
        min_channels: Keep at least this many channels in each group.
        max_ratio: Remove at most this fraction of each group.
        data: What an importance that needs data is measured on: arrays `x` or `(x, y)`, in batches of 32, or batches of
            them that can be read more than once (a list, a `tf.data.Dataset`, a `PyDataset`, a torch `DataLoader`).
            A few hundred samples do. The model is run as in inference, on a copy.
        loss: The loss of those that need one, as `compile` takes it; by default that which the model was compiled with.
        recalibrate: Inputs (in a form that `data` may have) on which the BatchNormalization statistics of the smaller
            model are estimated anew, before any training: a cheap gain. Layers that are not trainable keep theirs.
        strict: Raise if some operation has no rule.
        plan: A plan to replay instead; then no `ratio`, `budget` or `ratios`.

    Returns:
        A `PrunedChannels`: `.model`, `.plan` and `.report`.

    Raises:
        ValueError: A ratio outside [0, 1), conflicting ratios in one group, an unknown pattern or importance, a budget
            that cannot be met (the message says the smallest that can), data that do not fit the model, a plan made
            for another model, a subclassed or unbuilt model, or, with `strict`, an operation without a rule.
        TypeError: `model` is no Keras model.

    Example:

    ```python
    result = prune_channels(model, 0.5)
    print(result.report)
    small = result.model
    small.compile("adam", "mse")
    small.fit(x, y)  # what was lost is soon learnt again
    ```
    """
    chosen = ratio, budget, ratios, importance, scope, round_to, min_channels, max_ratio
    return carry_out(model, ChannelRequest(*chosen, data, loss, recalibrate, strict, plan))


def carry_out(model: keras.Model, request: ChannelRequest) -> PrunedChannels:
    """`prune_channels`, of a model that may have lost channels in earlier steps: see `ChannelRequest.original`."""
    analysis = analyze_channels(model)
    limits = request.limits
    limits.check(analysis)
    if request.strict and analysis.unknown:
        raise ValueError(f"Not every operation has a rule. Received: {'; '.join(analysis.unknown.values())}")
    batches = None if request.recalibrate is None else recalibration_batches(model, request.recalibrate)
    costs = costs_of_trace(analysis.trace)
    plan = request.plan
    asked: Mapping[str, int] = {}
    choice = None
    if plan is None:
        scores = score_groups(analysis, request.score, model, request.data, request.loss)
        choice = ChannelChoice(request.score, scores, limits)
        order = RemovalOrder(analysis, limits, scores)
        length = _length(order, analysis, costs, model, request)
        plan, asked = order.plan(length), order.asked(length)
    keep = plan.keep(analysis)
    small = rebuild(analysis.trace, keep)
    if batches is not None:
        recalibrate_statistics(small, batches)
    return PrunedChannels(small, plan, make_report(analysis, costs, plan, keep, asked, request), choice)


def _length(
    order: RemovalOrder, analysis: ChannelAnalysis, costs: Costs, model: keras.Model, request: ChannelRequest
) -> int:
    """How much of the removal order the ratio, or the budget, takes."""
    if request.budget is None:
        return order.length(request.ratio or 0.0)

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
