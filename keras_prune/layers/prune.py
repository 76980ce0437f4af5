"""`prune_layers`: a model of fewer layers, the plan behind it, and a report."""

import dataclasses
from collections.abc import Sequence
from typing import Any, get_args

import keras
import numpy as np

from keras_prune.costs.budget import Budget, BudgetRow
from keras_prune.importance.registry import name_of
from keras_prune.layers.analysis import LayerAnalysis, Units, analyze_units
from keras_prune.layers.candidates import Candidate
from keras_prune.layers.choose import (
    choose_by_budget,
    choose_by_ratio,
    choose_by_threshold,
    choose_named,
    make_queue,
    shortfall,
    what_is_left,
)
from keras_prune.layers.plan import LayerPlan
from keras_prune.layers.rebuild import rebuild
from keras_prune.layers.report import LayerReport, make_report
from keras_prune.layers.scores import Score, check_importance, score_candidates
from keras_prune.reconstruction.refitting.refit import compensation_batches, refit
from keras_prune.selection.thresholds import ThresholdRule
from keras_prune.selection.unit_thresholds import lowest_kept, threshold_text, unit_threshold
from keras_prune.validation import check_choice, check_fraction
from tflite_export.reporting import Shown


@dataclasses.dataclass(frozen=True, eq=False)
class PrunedLayers(Shown):
    """Result of `prune_layers`. Printed, or shown in a notebook, it is its report.

    Args:
        model: The smaller model, not compiled: the state of an optimizer does not fit it.
        plan: What was removed. Save it, and replay it with `prune_layers(model, plan=plan)`.
        report: Sizes before and after, what could not be removed, and first what was asked for and not reached.
    """

    model: keras.Model
    plan: LayerPlan
    report: LayerReport

    def __str__(self) -> str:
        return str(self.report)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def prune_layers(
    model: keras.Model,
    names: str | Sequence[str] | None = None,
    *,
    ratio: float | None = None,
    budget: Budget | None = None,
    threshold: float | ThresholdRule | None = None,
    units: Units = "branches",
    importance: str | Score = "l2",
    data: Any = None,
    loss: Any = None,
    plan: LayerPlan | None = None,
    compensate: Any = None,
) -> PrunedLayers:
    """Remove whole layers, or whole residual branches.

    `analyze_layers` says what can be removed, alone or as a branch. A layer is replaced by its input. A branch is left
    out of its sum: the smaller model computes what the original computes with zeros as the branch's output. What is no
    longer used is not in the new model; a layer that is also used elsewhere is kept there. Every input still reaches an
    output, and before each output there is at least one layer with weights.

    Args:
        model: A built model. It is not changed. What is no graph is written out first: see `expand`.
        names: What to remove: a pattern of names of candidates or layers, or a list of them. A layer that cannot be
            removed alone means the smallest residual branch that it is in. Defaults to None.
        ratio: Fraction of the ranked candidates to remove instead, in [0, 1), rounded down: those of the lowest
            scores; of equal scores the last in the model. Defaults to None.
        budget: What the smaller model may cost instead, such as `Budget(macs=0.5)`: as few candidates as possible are
            removed, in the order of their scores. Defaults to None.
        threshold: The score below which candidates are removed instead: a number, in units of the scores;
            `RelativeThreshold(0.1)`, a tenth of the largest score of the ranked candidates; or `MeanThreshold(1.0)`,
            one standard deviation below their mean score. Defaults to None.
        units: What a ratio, budget or threshold chooses from: `"branches"`, the innermost residual branches, and layers
            that are in none; `"blocks"`, the innermost whole blocks of a model of custom layers, such as those of a
            transformer. Defaults to `"branches"`.
        importance: The importance criterion that ranks the candidates: a name, or a function `candidate -> score`,
            higher = keep. Defaults to `"l2"`.
            `"l2"`, `"l1"`: the size of the weights, about 1 for new ones. They say little of layers outside of
            branches, where a layer of small weights is not the identity.
            `"block_influence"`: 1 - cosine similarity of a candidate's input and output, for each vector along the last
            axis (Men et al. 2024, "ShortGPT: Layers in large language models are more redundant than you expect").
            `"activation_change"`: the Euclidean distance of a candidate's input and output relative to the input, for
            each sample. Both need `data`.
            `"loss_change"`: how much the loss grows without the candidate, below 0 if it falls. It needs `data` with
            targets, and a loss.
            `"random"`: a baseline that the others must beat.
        data: What they are measured on: arrays `x`, `(x, y)` or `(x, y, sample_weight)`, or batches of these that can
            be read more than once (a `tf.data.Dataset`, `PyDataset`, `DataLoader` or list). Defaults to None.
        loss: As `compile` takes it. Defaults to None: the loss that the model was compiled with.
        plan: A plan to replay instead. Defaults to None.
        compensate: Inputs (in a form that `data` may have; no targets) on which what is left takes over the work of
            what is removed, without training: layer by layer, by least squares, weights and biases are fitted so that
            the layer's outputs come as near as possible to those of the original. The layer before a removed one is
            fitted to what came out of that one. A thousand samples suffice. The report says how near each layer came;
            layers of other kinds, those that are not trainable, and those that are used several times are left as they
            are. Defaults to None: all weights keep their values.

    Returns:
        A `PrunedLayers`: `.model`, `.plan` and `.report`. Keras names an output after the layer that makes it: that
        may be another one now.

    Raises:
        ValueError: Not exactly one of `names`, `ratio`, `budget`, `threshold` and `plan`; a threshold that is none; a
            pattern that matches nothing, or a layer that cannot be removed (the message says why); a removal that would
            disconnect an input or leave an output without weights; a budget that cannot be met (the message says the
            smallest that can); missing data; a plan made for another model; an unbuilt or masked model, or one that
            cannot be written out.
        TypeError: `model` is no Keras model, or an argument is of another type.

    Example:

    ```python
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    for name in ("first", "second"):
        hidden = hidden + keras.layers.Dense(16, activation="relu", name=name)(hidden)
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    result = prune_layers(model, ratio=0.5, importance="block_influence", data=x, compensate=x)
    print(result)  # one of the two branches is removed, and the other layers make up for it
    idle = prune_layers(model, threshold=0.01, importance="activation_change", data=x)  # those that change less than 1%
    ```
    """
    check_asked(names, ratio, budget, plan, threshold)
    rule = None if threshold is None else unit_threshold(threshold)
    check_importance(importance)
    check_choice(units, "units", get_args(Units))
    analysis = analyze_units(model, units)
    calibration = None if compensate is None else compensation_batches(analysis.structure.model, compensate)
    scores: dict[str, float] = {}
    skipped: dict[str, str] = {}
    budgets: tuple[BudgetRow, ...] = ()
    missed: tuple[str, ...] = ()
    least: float | None = None
    if plan is not None:
        removed = planned(analysis, plan)
    elif names is not None:
        removed = choose_named(analysis, [names] if isinstance(names, str) else list(names))
    else:
        scores = score_candidates(analysis.structure, analysis.ranked, importance, data, loss)
        queue = make_queue(analysis, scores)
        skipped = dict(queue.skipped)
        if rule is not None:
            least = lowest_kept(rule, np.array([*scores.values()])) if scores else None
            removed, missed = choose_by_threshold(analysis, queue, scores, least or 0.0)
        elif budget is None:
            removed = choose_by_ratio(analysis, queue, ratio or 0.0)
            missed = shortfall(analysis, queue, ratio or 0.0)
        else:
            removed, budgets = choose_by_budget(analysis, queue, budget)
    left = what_is_left(analysis, removed)
    problem = left.problem()
    if problem:
        raise ValueError(f"This cannot be removed together: {problem}. Received: {[each.name for each in removed]}")
    asked = f"{names=}" if names is not None else f"{ratio=}" if ratio is not None else f"{budget or 'a plan'}"
    if rule is not None:
        asked = f"to remove what {threshold_text(rule)}"
    small = rebuild(analysis.structure, left)
    whole = analysis.structure.model
    refits = None if calibration is None else refit(whole, small, lambda tensor, values: values, calibration)
    chosen = name_of(importance), scores, skipped, budgets, missed, least, refits
    report = make_report(analysis, removed, left, asked, *chosen)
    plan = LayerPlan(analysis.fingerprint, tuple(each.name for each in removed))
    return PrunedLayers(small, plan, report)


def check_asked(names: Any, ratio: Any, budget: Any, plan: Any, threshold: Any) -> None:
    """Raises unless exactly one of them says what to remove."""
    asked = {"names": names, "ratio": ratio, "budget": budget, "threshold": threshold, "plan": plan}
    received = "Received: " + ", ".join(f"{name}={value!r}" for name, value in asked.items())
    if sum(value is not None for value in asked.values()) != 1:
        raise ValueError(f"Pass one of `names`, `ratio`, `budget`, `threshold` and `plan`. {received}")
    if ratio is not None:
        check_fraction(ratio, "ratio")
    listed = [names] if isinstance(names, str) else names
    if names is not None and not (
        isinstance(listed, Sequence) and listed and all(isinstance(name, str) for name in listed)
    ):
        raise TypeError(f"`names` must be a pattern of layer names, or a list of them. {received}")
    for name, value, cls in (("budget", budget, Budget), ("plan", plan, LayerPlan)):
        if value is not None and not isinstance(value, cls):
            raise TypeError(f"`{name}` must be a {cls.__name__}. {received}")


def planned(analysis: LayerAnalysis, plan: LayerPlan) -> list[Candidate]:
    """The candidates that a plan removes.

    Raises:
        ValueError: It was made for another model.
    """
    if plan.fingerprint != analysis.fingerprint:
        raise ValueError(
            "The plan was made for a model of another structure. "
            f"Received: a plan for {plan.fingerprint}, the model '{analysis.model}' is {analysis.fingerprint}"
        )
    unknown = set(plan.removed) - {candidate.name for candidate in analysis.candidates}
    if unknown:
        raise ValueError(f"The plan removes what the model does not have. Received: {sorted(unknown)}")
    return [candidate for candidate in analysis.candidates if candidate.name in plan.removed]
