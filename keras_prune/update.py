"""The engine: scores -> selection -> masks, for every masked weight of a model.

Used by the callback at each update, and by `prune_once` without any training.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import importance as importances
from keras_prune import keras_internals
from keras_prune.importance import Importance
from keras_prune.masks import MaskedWeight, apply_masks, find_masked
from keras_prune.measure.weights import SingleWeights, WeightStatistics
from keras_prune.rule import PruningRule, Targets
from keras_prune.schedules import check_sparsity
from keras_prune.selection import Candidate, Percentile, Selection
from keras_prune.wrapping import prunable_paths, strip_pruning, wrap_pruning

Score = Callable[[SingleWeights], np.ndarray]
Goal = Callable[[float | None], float]


def update_masks(
    weights: Sequence[MaskedWeight],
    rule: PruningRule,
    sparsity: Goal,
    step: int = 0,
    optimizer: object = None,
    statistics: WeightStatistics | None = None,
    agree: Callable[[np.ndarray], np.ndarray] = lambda kept: kept,
) -> dict[int, int]:
    """Chooses new masks and applies them. What is pruned stays pruned, unless the rule regrows it.

    Args:
        weights: The masked weights of a model.
        rule: How to choose.
        sparsity: The target now, for a layer with this final sparsity of its own, or None: without one.
        step: The optimizer step.
        optimizer: Its moving averages of the weights are masked too: they would bring pruned weights back.
        statistics: Of the model, for a rule that needs data.
        agree: The mask that counts, of the one that was chosen here: where several workers choose.

    Returns:
        How many entries of each weight are kept now, by the `id` of its mask, for the weights that the rule prunes.

    Raises:
        ValueError: A weight is NaN, or a target that the selection cannot reach.
    """
    function, alone = importances.get(rule.importance), importances.elementwise(rule.importance)
    averages = keras_internals.moving_averages(optimizer) if optimizer is not None else {}
    counts: dict[int, int] = {}
    for weight, kept in _choose(weights, rule, sparsity, step, lambda unit: function(unit, statistics), alone):
        if rule.regrowth is not None and np.array_equal(kept, weight.kept()):  # not at once after pruning
            kept = rule.regrowth.renew(SingleWeights(weight), kept, step, statistics)
        kept = agree(kept)
        weight.set_mask(kept)
        counts[id(weight.mask)] = int(np.count_nonzero(kept))
        del kept  # before the next large array is there
        for variable in (weight.weight, averages.get(id(weight.weight))):
            if variable is not None:
                variable.assign(ops.multiply(variable.value, weight.mask.value))
        # JAX computes later, and would keep the old values of all weights until then.
        keras_internals.as_numpy(weight.weight)
    return counts


def _choose(
    weights: Sequence[MaskedWeight],
    rule: PruningRule,
    sparsity: Goal,
    step: int,
    score: Score,
    alone: Callable[[np.ndarray], np.ndarray] | None,
) -> Iterator[tuple[MaskedWeight, np.ndarray]]:
    """Each weight that the rule prunes, and its new mask."""
    for target, group in rule.groups(weights).items():
        candidates = [_candidate(weight, score, alone) for weight in group]
        if rule.selection.needs_sparsity:
            goals = rule.goals(target, group, sparsity(None if target == "erk" else target))
        else:
            goals = [0.0]
        if len(goals) == 1:
            masks = iter(rule.selection.select(candidates, goals[0], step))
            yield from _pairs(group, masks, rule)
            continue
        for weight, candidate, goal in zip(group, candidates, goals, strict=True):
            yield from _pairs([weight], iter(rule.selection.select([candidate], goal, step)), rule)


def _pairs(
    weights: Sequence[MaskedWeight], masks: Iterator[np.ndarray], rule: PruningRule
) -> Iterator[tuple[MaskedWeight, np.ndarray]]:
    """Like a strict `zip`, which would hold each mask until the next is there."""
    for weight in weights:
        yield weight, _next(masks, rule)
    if next(masks, None) is not None:
        raise _wrong_number("more", rule)


def _next(masks: Iterator[np.ndarray], rule: PruningRule) -> np.ndarray:
    for kept in masks:
        return kept
    raise _wrong_number("fewer", rule)


def _wrong_number(received: str, rule: PruningRule) -> ValueError:
    return ValueError(
        f"A selection must yield one mask for each candidate. Received: {received}, of {rule.selection!r}"
    )


def _candidate(
    weight: MaskedWeight, score: Score, alone: Callable[[np.ndarray], np.ndarray] | None
) -> Callable[[], Candidate]:
    def fetch() -> Candidate:
        unit = SingleWeights(weight)
        importance = alone or (lambda values: score(unit))
        return Candidate(unit.values, importance, weight.kept(), weight.axes, elementwise=alone is not None)

    return fetch


def prune_once(
    model: keras.Model,
    sparsity: float | None = None,
    *,
    selection: Selection | None = None,
    importance: str | Importance = "magnitude",
    targets: Targets | None = None,
    prune_frozen: bool = False,
    data: Any = None,
    loss: Any = None,
) -> keras.Model:
    """Prunes a trained model at once, without training: the engine of `PruningSchedule`, run a single time.

    The result can be trained further: its masks hold. `strip_pruning` makes it plain again.

    Args:
        model: A built model, with masks or without. Like in `wrap_pruning` it stays as it is and a copy is returned,
            but a subclassed model is changed in place.
        sparsity: Fraction of the weights to prune, in [0, 1). None with a threshold selection, which decides itself,
            and with `NByM`, which has a sparsity of its own.
        selection: How scores become masks. Default: `Percentile()`.
        importance: How much each weight matters: a name of the table in `PruningSchedule`, or a function
            `weight -> scores`, or `(weight, statistics) -> scores`, of NumPy arrays, higher = keep, the same each time.
        targets: As in `PruningSchedule`: `"uniform"`, `"erk"`, `"global"`, or the sparsity of single layers by name
            pattern, or None for those to leave alone: `{"conv*": 0.5}`.
        prune_frozen: Whether weights that are not trainable are pruned too.
        data: What an importance is measured on: `x`, `(x, y)`, or batches of them, as `fit` takes them. A few hundred
            samples are enough; `"taylor"` and `"fisher"` of single weights gain from a few thousand.
        loss: The loss of an importance that needs one, as `compile` takes it. Default: the one that the model was
            compiled with.

    Returns:
        The model with masks, as from `wrap_pruning`.

    Raises:
        ValueError: A sparsity outside [0, 1), missing or above what the selection can reach, an unknown importance or
            layer pattern, no data or loss for an importance that needs them, data that do not fit, an unbuilt model,
            or a model in which nothing can be pruned.
        TypeError: An argument of another type.

    Example:

    ```python
    pruned = prune_once(model, 0.8, targets={"output": None})
    print(summary(pruned))
    pruned = prune_once(model, 0.8, targets="erk", importance="taylor", data=(x, y), loss="mse")
    ```
    """
    rule = PruningRule(selection or Percentile(), importance, targets or {}, prune_frozen)
    if rule.selection.schedule is not None:
        raise ValueError(
            "Without training there is no step that a threshold could follow: it must be a number. "
            f"Received: selection={selection!r}"
        )
    goal = 0.0
    if sparsity is not None:
        rule.refuse_sparsity(f"sparsity={sparsity!r}")
    if rule.selection.needs_sparsity:
        default = rule.selection.default_sparsity
        goal = check_sparsity(default if sparsity is None and default is not None else sparsity, "sparsity")
        rule.check_reachable(goal, "sparsity")
    rule.check(prunable_paths(model))
    rule.check_data(data)
    has_masks = bool(find_masked(model))
    pruned = wrap_pruning(model, layers=(lambda layer: False) if has_masks else None)
    weights = find_masked(pruned)
    try:
        rule.check_weights(weights)
        statistics = WeightStatistics(pruned, data, loss, compiled=model)
        update_masks(weights, rule, lambda own: goal if own is None else own, statistics=statistics)
    except Exception:
        if pruned is model and not has_masks:  # a subclassed model, which got masks in place
            strip_pruning(model)
        raise
    apply_masks(pruned)  # minus zeros become zeros
    return pruned
