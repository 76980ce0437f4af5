"""`prune_channels`: a smaller model, the plan that made it, and the report of what was done."""

import dataclasses
import math
from collections.abc import Mapping

import keras

from keras_prune.channels.groups import ChannelAnalysis, analyze_channels
from keras_prune.channels.plan import ChannelPlan, Limits, make_plan
from keras_prune.channels.rebuild import rebuild
from keras_prune.channels.report import ChannelReport, GroupReport
from keras_prune.channels.scores import ChannelImportance, Score


@dataclasses.dataclass(frozen=True, eq=False)
class PrunedChannels:
    """What `prune_channels` returns. Its `str` is the report.

    Args:
        model: The smaller model, not compiled.
        plan: Which channels went. Save it, and replay it with `prune_channels(model, plan=plan)`.
        report: What was done, and what could not be.
    """

    model: keras.Model
    plan: ChannelPlan
    report: ChannelReport

    def __str__(self) -> str:
        return str(self.report)


def prune_channels(
    model: keras.Model,
    ratio: float | None = None,
    *,
    ratios: Mapping[str, float | None] | None = None,
    importance: str | Score | ChannelImportance = "l2",
    scope: str = "group",
    round_to: int = 1,
    min_channels: int = 1,
    max_ratio: float = 0.9,
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
        ratios: Other fractions, by pattern of the layers that make the channels; None: these stay. What such a layer
            reads is not touched by it. Groups with their own ratio are not part of `scope="global"`.
        importance: `"l2"`, `"l1"`, `"batch_norm_scale"`, `"random"`, a function, or a `ChannelImportance`.
        scope: `"group"` removes the fraction from each group; `"global"` ranks the channels of all groups together.
        round_to: Keep a multiple of this many channels in each group; 8 suits most hardware.
        min_channels: Keep at least this many channels in each group.
        max_ratio: Remove at most this fraction of each group.
        strict: Raise if some operation has no rule.
        plan: A plan to replay instead; then no `ratio` or `ratios`.

    Returns:
        A `PrunedChannels`: `.model`, `.plan` and `.report`.

    Raises:
        ValueError: A ratio outside [0, 1), conflicting ratios in one group, an unknown pattern or importance, a plan
            made for another model, a subclassed or unbuilt model, or, with `strict`, an operation without a rule.
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
    if (plan is None) == (ratio is None and not ratios):
        raise ValueError(
            f"Pass `ratio` or `ratios`, or a `plan`. Received: ratio={ratio!r}, ratios={ratios!r}, plan={plan!r}"
        )
    others = 0.0 if ratio is None else ratio
    limits = Limits(others, dict(ratios or {}), scope, round_to, min_channels, max_ratio)
    score = importance if isinstance(importance, ChannelImportance) else ChannelImportance(importance)
    analysis = analyze_channels(model)
    if strict and analysis.unknown:
        raise ValueError(f"Not every operation has a rule. Received: {'; '.join(analysis.unknown.values())}")
    plan = make_plan(analysis, limits, score) if plan is None else plan
    small = rebuild(analysis.trace, plan.keep(analysis))
    return PrunedChannels(small, plan, _report(analysis, plan, model, small, ratio))


def _report(
    analysis: ChannelAnalysis, plan: ChannelPlan, model: keras.Model, small: keras.Model, ratio: float | None
) -> ChannelReport:
    groups = tuple(
        GroupReport(
            name=group.name,
            before=group.size,
            after=group.size - len(plan.removed.get(group.name, ())),
            frozen=group.frozen,
            inexact=group.inexact,
        )
        for group in analysis.groups
    )
    return ChannelReport(model.name, ratio, groups, _parameters(model), _parameters(small), analysis.unknown)


def _parameters(model: keras.Model) -> int:
    return sum(math.prod(weight.shape) for weight in model.weights)
