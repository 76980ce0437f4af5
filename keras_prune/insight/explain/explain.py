"""`explain`: what was removed of a model, and why."""

import dataclasses
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.channels.carry_out import PrunedChannels
from keras_prune.channels.groups import analyze_channels
from keras_prune.channels.limits import Limits
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.report import ChannelReport
from keras_prune.channels.scores import ChannelImportance, score_groups
from keras_prune.costs.macs_change import unknown_macs
from keras_prune.expansion.expand import write_out
from keras_prune.importance.registry import name_of
from keras_prune.insight.explain.channels import explain_channels
from keras_prune.insight.explain.explanation import Explanation
from keras_prune.insight.explain.layers import explain_layers
from keras_prune.insight.explain.recover import recover_plan
from keras_prune.insight.explain.weights import explain_weights, has_same_shapes
from keras_prune.layers.analysis import analyze_layers
from keras_prune.layers.choose import what_is_left
from keras_prune.layers.plan import LayerPlan
from keras_prune.layers.prune import PrunedLayers, planned
from keras_prune.layers.report import LayerReport, make_report
from keras_prune.layers.scores import check_importance, score_candidates
from keras_prune.reporting.numbers import change
from keras_prune.selection.unit_thresholds import threshold_text

Facts = tuple[tuple[str, str], ...]
_RANKED = {
    "group": "each group by itself",
    "global": "all groups together",
    "isomorphic": "groups of the same structure together",
}


def explain(
    before: keras.Model,
    after: keras.Model | PrunedChannels | PrunedLayers,
    *,
    plan: ChannelPlan | LayerPlan | None = None,
    importance: Any = None,
    data: Any = None,
    loss: Any = None,
) -> Explanation:
    """Return which weights, channels, heads or layers were removed from a model, with scores, ranks and reasons.

    Scores and limits are those of the result of `prune_channels` or `prune_layers`, if that is passed. Otherwise the
    scores are computed on `before`, by the functions that prune, and compared with what was removed: the *overlap*
    counts what was removed though it is not among as many lowest scores. Where it is 0, the scores explain what was
    removed; where it is not, something else decided, and the reason says what: a pattern, limits, another criterion, or
    training in between.

    Args:
        before: The original model. It is only read.
        after: The pruned model: the same with zeros or masks (`prune_weights`, `PruningSchedule`, `strip_pruning`);
            what `prune_channels` or `prune_layers` returned; or a smaller model. If it is a smaller model without
            `plan`, the removed channels are found by comparing weights, which works if it was not trained since.
        plan: The plan by which the smaller model was made, if `after` is the model itself. Defaults to None.
        importance: Importance criterion, as in `prune_weights`, `prune_channels` or `prune_layers`. Defaults to that of
            the result of `prune_channels` or `prune_layers`; else to the default of the function that prunes:
            `"magnitude"` for weights, `"l2"` for channels and layers.
        data: What the importance is measured on, as in these functions. Defaults to None.
        loss: Likewise.

    Returns:
        An `Explanation`: print it for a table; `records()` has the numbers, `save_html(path)` writes a page with plots.

    Raises:
        ValueError: The models do not belong together, the removed channels cannot be found (the message says what to
            pass), a plan for another model, an importance, data or loss where the result has the scores, or an
            importance that cannot be measured.
        TypeError: An argument of another type.

    Example:

    ```python
    print(explain(model, prune_weights(model, 0.5)))
    why = explain(model, prune_channels(model, 0.5, round_to=2))
    why.parts[0].removed  # positions of the removed units
    why.save_html("why.html")
    ```
    """
    _check(before, after, plan, importance, data, loss)
    if isinstance(after, PrunedChannels):
        return _of_channels(before, after.plan, after, importance, data, loss)
    if isinstance(after, PrunedLayers):
        return _of_layers(before, after.plan, after.report, importance, data, loss)
    if isinstance(plan, ChannelPlan):
        return _of_channels(before, plan, None, importance, data, loss)
    if isinstance(plan, LayerPlan):
        return _of_layers(before, plan, None, importance, data, loss)
    if has_same_shapes(before, after):
        return _of_weights(before, after, importance, data, loss)
    analysis = analyze_channels(before)
    before = analysis.trace.model
    plan = recover_plan(analysis, before, after)
    return _of_channels(before, plan, None, importance, data, loss)


def _of_weights(before: keras.Model, after: keras.Model, importance: Any, data: Any, loss: Any) -> Explanation:
    """The explanation of zeros or masks."""
    chosen = "magnitude" if importance is None else importance
    parts = explain_weights(before, after, chosen, data, loss)
    size = sum(part.pruned.size for part in parts)
    removed, overlap = (sum(getattr(part.cut, name) for part in parts) for name in ("removed", "overlap"))
    facts = (
        ("Weights removed", f"{removed:,} of {size:,} prunable ones ({removed / max(size, 1):.1%})"),
        ("Weight arrays pruned", f"{sum(part.cut.removed > 0 for part in parts)} of {len(parts)}"),
        _scored(name_of(chosen), importance is None),
        ("Overlap", f"{overlap:,} removed that are not among the lowest scores of their array" if overlap else "none"),
    )
    return Explanation(before.name, "weights", name_of(chosen), parts, facts)


def _of_channels(
    before: keras.Model, plan: ChannelPlan, result: PrunedChannels | None, importance: Any, data: Any, loss: Any
) -> Explanation:
    """The explanation of a smaller model with fewer channels."""
    graph = before
    if result is not None and result.sizes:
        graph = write_out(before, result.sizes)
        _keras.compile_like(before, graph)
    analysis = analyze_channels(graph)
    before = analysis.trace.model
    plan.keep(analysis)  # raises if it is for another model
    choice = None if result is None else result.choice
    if choice is not None:
        score, scores = choice.importance, choice.scores
    else:
        chosen = "l2" if importance is None else importance
        score = chosen if isinstance(chosen, ChannelImportance) else ChannelImportance(chosen)
        scores = score_groups(analysis, score, before, data, loss)
    asked = {} if result is None else {group.name: group.asked for group in result.report.groups}
    kept = {} if result is None else result.report.frozen
    parts = explain_channels(analysis, plan, scores, choice, asked, kept)
    size, removed = sum(part.pruned.size for part in parts), sum(part.cut.removed for part in parts)
    facts: Facts = (
        ("Channels removed", f"{removed:,} of {size:,} ({removed / max(size, 1):.1%})"),
        ("Groups pruned", f"{sum(part.cut.removed > 0 for part in parts)} of {len(parts)}"),
        _scored(name_of(score.score), choice is None and importance is None),
    )
    if choice is not None:
        facts += (("Ranked", _RANKED[choice.limits.scope]), *_limits(choice.limits))
    if result is not None:
        facts += _costs(result.report)
    return Explanation(before.name, "channels", name_of(score.score), parts, facts)


def _of_layers(
    before: keras.Model, plan: LayerPlan, report: LayerReport | None, importance: Any, data: Any, loss: Any
) -> Explanation:
    """The explanation of a smaller model with fewer layers."""
    analysis = analyze_layers(before)
    removed = planned(analysis, plan)
    default = report is None and importance is None
    if report is None:
        chosen = "l2" if importance is None else importance
        check_importance(chosen)
        scores = score_candidates(analysis.structure, analysis.ranked, chosen, data, loss)
        left = what_is_left(analysis, removed)
        report = make_report(analysis, removed, left, "a plan", name_of(chosen), scores, {})
    parts = explain_layers(report)
    facts: Facts = (
        ("Layers", f"{report.layers_before} -> {report.layers_after}"),
        ("Requested", report.asked),
        *([_scored(report.importance, default)] if report.importance else []),
        *_costs(report),
    )
    return Explanation(before.name, "layers", report.importance, parts, facts)


def _limits(limits: Limits) -> Facts:
    """The threshold and the limits that were asked for, except those that are the default."""
    fields = {each.name: each.default for each in dataclasses.fields(limits)}
    names = ("round_to", "min_channels", "max_ratio")
    said = [f"{name}={getattr(limits, name):g}" for name in names if getattr(limits, name) != fields[name]]
    said += [f"ratios={dict(limits.ratios)}"] if limits.ratios else []
    asked = limits.threshold
    facts: Facts = () if asked is None else (("Requested", f"to remove what {threshold_text(asked)}"),)
    return (*facts, ("Limits", ", ".join(said))) if said else facts


def _scored(name: str, default: bool) -> tuple[str, str]:
    """The fact that names the importance criterion."""
    return "Scores", f"{name} (the default: the criterion that decided is not recorded)" if default else name


def _costs(report: ChannelReport | LayerReport) -> Facts:
    """Parameters and multiply-accumulates before and after."""
    parameters = change(report.parameters_before, report.parameters_after)
    unknown = [("Unknown MACs", line) for line in unknown_macs(report.macs.unknown)]
    return (("Parameters", parameters), ("MACs", str(report.macs)), *unknown)


def _check(before: Any, after: Any, plan: Any, importance: Any, data: Any, loss: Any) -> None:
    """Raise unless these are models, results and plans that belong together."""
    results = (PrunedChannels, PrunedLayers)
    if not isinstance(before, keras.Model):
        raise TypeError(f"`before` must be a Keras model. Received: before={before!r}")
    if not isinstance(after, keras.Model | PrunedChannels | PrunedLayers):
        raise TypeError(
            "`after` must be a Keras model, or what `prune_channels` or `prune_layers` returned. "
            f"Received: after={after!r}"
        )
    if plan is not None and not isinstance(plan, ChannelPlan | LayerPlan):
        raise TypeError(f"`plan` must be the plan of a result, or None. Received: plan={plan!r}")
    if plan is not None and isinstance(after, results):
        raise ValueError(f"A result has its own plan: leave `plan` out. Received: plan={plan!r}")
    scored = isinstance(after, PrunedLayers) or (isinstance(after, PrunedChannels) and after.choice is not None)
    if scored and not (importance is None and data is None and loss is None):
        raise ValueError(
            "The result has the scores that decided: leave `importance`, `data` and `loss` out. To score it again, "
            f"pass `after=result.model, plan=result.plan`. Received: importance={importance!r}"
        )
    if id(before) == id(after):
        raise ValueError(
            "`before` and `after` are the same model: keep a copy of the original. (A subclassed model is pruned in "
            f"place.) Received: the model '{before.name}' twice"
        )
    pairs: list[tuple[str, Any]] = [("before", before), ("after", getattr(after, "model", after))]
    for name, model in pairs:
        if not model.built:
            raise ValueError(f"`{name}` must be built: it has no weights yet. Received: '{model.name}'")
