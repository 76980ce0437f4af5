"""Importance criteria for candidates: one number each, higher = keep."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune.graph.structure import Structure
from keras_prune.layers.block_influence import Change, activation_change, block_influence, measure_change, measure_loss
from keras_prune.layers.candidates import Candidate
from keras_prune.masking.prunable import find_prunable
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.loss import find_loss

Score = Callable[[Candidate], float]


def l1(candidate: Candidate) -> float:
    """Mean absolute weight, relative to that of a layer of this size: see `l2`."""
    return _combine(candidate, lambda values: float(np.mean(np.abs(values))))


def l2(candidate: Candidate) -> float:
    """Root mean square of the weights, relative to that of a new layer of this size: about 1 if it were new.

    Large layers have a larger norm and wide ones a smaller mean, whatever they compute, so both are relative to the
    initial spread of Glorot and Bengio (2010). The layers of a branch multiply each other, and its output is nearly
    zero if one layer's is: the score of a candidate is the geometric mean of those of its layers.
    """
    return _combine(candidate, lambda values: float(np.sqrt(np.mean(np.square(values)))))


_OF_WEIGHTS: dict[str, Score] = {"l1": l1, "l2": l2}
_CHANGES: dict[str, Change] = {"block_influence": block_influence, "activation_change": activation_change}
_NAMES = sorted([*_OF_WEIGHTS, *_CHANGES, "loss_change", "random"])


def check_importance(importance: Any) -> None:
    """Raises a `ValueError` if there is no such importance."""
    if not callable(importance) and importance not in _NAMES:
        raise ValueError(
            f"`importance` must be one of {_NAMES} or a function `candidate -> score`. "
            f"Received: importance={importance!r}"
        )


def score_candidates(
    structure: Structure, candidates: Sequence[Candidate], importance: str | Score, data: Any, loss: Any
) -> dict[str, float]:
    """Return the score of each candidate, by name.

    Args:
        structure: The graphs of the model.
        candidates: The candidates.
        importance: The criterion, or its name.
        data: What it is measured on, if it needs data.
        loss: The loss, if it needs one.

    Raises:
        ValueError: A score is not a finite number, data or a loss is missing, or the data do not fit the model.
        TypeError: `data` holds no batches.
    """
    if importance == "loss_change":
        found = find_loss(structure.model, loss)
        return measure_loss(structure, candidates, Batches(data, structure.model, with_targets=True), *found)
    if importance == "random":
        rng = np.random.default_rng(int(keras.random.randint((), 0, 2**31 - 1)))  # follows `set_random_seed`
        return {each.name: float(rng.random()) for each in candidates}
    if callable(importance) or importance in _OF_WEIGHTS:
        score = importance if callable(importance) else _OF_WEIGHTS[importance]
        return {each.name: _finite(score(each), each) for each in candidates}
    batches = Batches(data, structure.model, with_targets=False)
    scores = measure_change(structure, candidates, batches, _CHANGES[importance])
    return {each.name: _finite(scores[each.name], each) for each in candidates}


def _finite(score: Any, candidate: Candidate) -> float:
    try:
        number = float(score)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(
            "An importance criterion must return one finite number for each candidate. "
            f"Received: {score!r} for '{candidate.name}'"
        )
    return number


def _combine(candidate: Candidate, size: Callable[[np.ndarray], float]) -> float:
    """The geometric mean over the layers of the mean over the kernels of each; of normalisations their scale."""
    found = []
    for operation in candidate.operations:
        if not isinstance(operation, keras.Layer) or isinstance(operation, keras.Model):
            continue
        weights = list(find_prunable(operation).weights.values()) or [getattr(operation, "gamma", None)]
        arrays = [np.asarray(keras.ops.convert_to_numpy(each.value), "float64") for each in weights if each is not None]
        if arrays:
            found.append(float(np.mean([size(array) * np.sqrt(_fan(array.shape)) for array in arrays])))
    # `np.min` is NaN where any is: that is refused, not a score of 0.
    return float(np.exp(np.mean(np.log(found)))) if found and np.min(found) != 0 else 0.0


def _fan(shape: tuple[int, ...]) -> float:
    """The mean number of inputs and outputs of an entry, as initialisers count them."""
    return float(np.prod(shape[:-2], initial=1.0) * (shape[-2] + shape[-1]) / 2) if len(shape) > 1 else 1.0


def names() -> list[str]:
    """The names of the criteria for layers and branches."""
    return list(_NAMES)
