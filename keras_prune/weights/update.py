"""The mask update: scores -> selection -> masks, for every masked weight of a model.

Used by the callbacks at each update, and by `prune_weights` without any training.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune import importance as importances
from keras_prune.masking.masked_weights import MaskedWeight
from keras_prune.measurement.weight_statistics import ModelStatistics, SingleWeights
from keras_prune.selection import Candidate
from keras_prune.validation import NotFiniteError, check_finite
from keras_prune.weights.rule import PruningRule

Score = Callable[[SingleWeights], np.ndarray]
Goal = Callable[[float | None], float]


def update_masks(
    weights: Sequence[MaskedWeight],
    rule: PruningRule,
    sparsity: Goal,
    step: int = 0,
    optimizer: object = None,
    statistics: ModelStatistics | None = None,
    agree: Callable[[np.ndarray], np.ndarray] = lambda kept: kept,
) -> dict[int, int]:
    """Choose new masks and apply them. Pruned weights remain pruned, unless the rule regrows them.

    All masks are chosen before the first is changed: where one cannot be, all are left as they are.

    Args:
        weights: The masked weights of a model.
        rule: How to choose.
        sparsity: Function of a layer's own final sparsity, or None for layers without one, that gives the target now.
        step: The optimizer step. Defaults to 0.
        optimizer: The optimizer, whose moving averages of the weights are masked too: they would bring pruned weights
            back. Defaults to None.
        statistics: The statistics of the model, for a rule that needs data. Defaults to None.
        agree: Function of the mask chosen here that gives the one to apply, where several workers choose. Defaults to
            the mask itself.

    Returns:
        How many entries of each weight are kept now, by the `id` of its mask, for the weights that the rule prunes.

    Raises:
        NotFiniteError: A weight to prune, or what it is scored by, is NaN or infinite.
        ValueError: A target that the selection cannot reach.
    """
    averages = _keras.moving_averages(optimizer) if optimizer is not None else {}
    counts: dict[int, int] = {}
    chosen, error = _chosen(weights, rule, sparsity, step, statistics)
    if agree(np.array([error is not None]))[0]:  # all workers or none: one alone would wait for the others
        raise error or NotFiniteError(
            "Weights must be finite: did the training diverge? Received: NaN or infinite values at the first worker"
        )
    for weight, packed in chosen:
        kept = agree(np.unpackbits(packed, count=weight.size).view(bool).reshape(tuple(weight.weight.shape)))
        weight.set_mask(kept)
        counts[id(weight.mask)] = int(np.count_nonzero(kept))
        del kept  # before the next large array is there
        for variable in (weight.weight, averages.get(id(weight.weight))):
            if variable is not None:
                variable.assign(ops.multiply(variable.value, weight.mask.value))
        # JAX computes later, and would keep the old values of all weights until then.
        _keras.as_numpy(weight.weight)
    return counts


_Packed = list[tuple[MaskedWeight, np.ndarray]]
"""Weights and their new masks, a bit an entry: those of a whole model are a 32nd of its size."""


def _chosen(
    weights: Sequence[MaskedWeight], rule: PruningRule, sparsity: Goal, step: int, statistics: ModelStatistics | None
) -> tuple[_Packed, NotFiniteError | None]:
    """The weights that the rule prunes and their new masks; or those that they have, and why there are no new ones."""
    function, alone = importances.weight_scorer(rule.importance), importances.elementwise(rule.importance)
    chosen: _Packed = []
    pruned = [weight for group in rule.groups(weights).values() for weight in group]
    try:
        for weight in pruned:
            check_finite(SingleWeights(weight).values, "Weights", weight.path)
        for weight, kept in _choose(weights, rule, sparsity, step, lambda unit: function(unit, statistics), alone):
            if rule.regrowth is not None and np.array_equal(kept, weight.kept()):  # not at once after pruning
                kept = rule.regrowth.renew(SingleWeights(weight), kept, step, statistics)
            chosen.append((weight, np.packbits(kept)))
            del kept  # before the next large array is there
    except NotFiniteError as error:
        return [(weight, np.packbits(weight.kept())) for weight in pruned], error
    return chosen, None


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
        return Candidate(unit.values, importance, weight.kept(), weight.axes, alone is not None, weight.path)

    return fetch
