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
from keras_prune.channels.removal_order import Queue
from keras_prune.channels.report import ChannelReport, make_report
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
    check_asked(ratio, budget, ratios, plan)
    limits = Limits(ratio, {} if ratios is None else ratios, scope, round_to, min_channels, max_ratio)
    return carry_out(model, limits, budget, importance, data, loss, recalibrate, strict, plan)


def carry_out(
    model: keras.Model,
    limits: Limits,
    budget: Budget | None,
    importance: str | Score | ChannelImportance,
    data: Any,
    loss: Any,
    recalibrate: Any,
    strict: bool,
    plan: ChannelPlan | None,
) -> PrunedChannels:
    """`prune_channels`, of a model that may have lost channels before: see `Limits.original`."""
    score = importance if isinstance(importance, ChannelImportance) else ChannelImportance(importance)
    analysis = analyze_channels(model)
    limits.check(analysis)
    if strict and analysis.unknown:
        raise ValueError(f"Not every operation has a rule. Received: {'; '.join(analysis.unknown.values())}")
    batches = None if recalibrate is None else recalibration_batches(model, recalibrate)
    trace = analysis.trace
    costs = costs_of_trace(trace)
    asked: Mapping[str, int] = {}
    choice = None
    if plan is None:
        choice = ChannelChoice(score, score_groups(analysis, score, model, data, loss), limits)
        queue = Queue(analysis, limits, choice.scores)
        length = _length(queue, analysis, costs, model, limits, budget)
        plan, asked = queue.plan(length), queue.asked(length)
    keep = plan.keep(analysis)
    small = rebuild(trace, keep)
    if batches is not None:
        recalibrate_statistics(small, batches)
    report = make_report(analysis, costs, plan, keep, asked, limits, budget)
    return PrunedChannels(small, plan, report, choice)


def _length(
    queue: Queue, analysis: ChannelAnalysis, costs: Costs, model: keras.Model, limits: Limits, budget: Budget | None
) -> int:
    if budget is None:
        return queue.length(limits.ratio or 0.0)

    def left(length: int) -> Mapping[str, int | None]:
        return count_costs(costs, Kept(queue.plan(length).keep(analysis)))

    def build(length: int) -> keras.Model:
        return rebuild(analysis.trace, queue.plan(length).keep(analysis))

    hint = "Allow more with `max_ratio`, `min_channels`, `round_to` or `ratios`. "
    whole = left_of_all(costs, analysis)
    return meet_budget(budget, model, whole, len(queue), left, build, hint, costs.unknown)


def check_asked(ratio: Any, budget: Any, ratios: Any, plan: Any = None) -> None:
    received = f"Received: ratio={ratio!r}, budget={budget!r}, ratios={ratios!r}, plan={plan!r}"
    if plan is not None and not (ratio is None and budget is None and not ratios):
        raise ValueError(f"A `plan` says what goes: pass it without `ratio`, `budget` and `ratios`. {received}")
    if ratio is not None and budget is not None:
        raise ValueError(f"Pass `ratio` or `budget`, not both. {received}")
    if plan is None and ratio is None and budget is None and not ratios:
        raise ValueError(f"Pass `ratio`, `budget` or `ratios`, or a `plan`. {received}")
    for name, value, cls in (("budget", budget, Budget), ("plan", plan, ChannelPlan)):
        if value is not None and not isinstance(value, cls):
            raise TypeError(f"`{name}` must be a {cls.__name__}. {received}")


def left_of_all(costs: Costs, analysis: ChannelAnalysis) -> dict[str, int | None]:
    """What the original costs."""
    return count_costs(costs, Kept(ChannelPlan(analysis.fingerprint, {}).keep(analysis)))
