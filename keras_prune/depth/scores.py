"""How much a candidate matters: one number each, higher = keep."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune.depth.candidates import Candidate
from keras_prune.depth.data import as_loss, read_batches
from keras_prune.depth.left import Left
from keras_prune.depth.run import run, run_left
from keras_prune.depth.structure import Structure
from keras_prune.prunable import find_prunable

Score = Callable[[Candidate], float]
Batches = Iterable[tuple[Any, Any]]  # inputs, and targets or None
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


def l1(candidate: Candidate) -> float:
    """Mean absolute weight of each layer of the candidate, of these the geometric mean: see `l2`."""
    return _geometric_mean([float(np.mean(np.abs(values))) for values in _weights(candidate)])


def l2(candidate: Candidate) -> float:
    """Root mean square of the weights of each layer of the candidate, of these the geometric mean.

    A branch multiplies its layers: if one of them gives nearly nothing, so does the branch. The mean in place of the
    norm, or large layers would always matter most.
    """
    return _geometric_mean([float(np.sqrt(np.mean(np.square(values)))) for values in _weights(candidate)])


def block_influence(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """1 - cosine similarity of the vectors along the last axis (Men et al. 2024, "ShortGPT")."""
    product = np.sum(before * after, axis=-1)
    size = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
    same = np.all(before == after, axis=-1)  # vectors of zeros have no direction
    return 1 - np.where(same, 1.0, np.divide(product, size, out=np.zeros_like(product), where=size > 0))


def activation_change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Euclidean distance of a sample's tensor from what it was, relative to what it was."""
    axes = tuple(range(1, before.ndim))
    distance, size = (np.sqrt(np.sum(np.square(values), axis=axes)) for values in (after - before, before))
    return np.where(distance > 0, distance / np.maximum(size, 1e-30), 0.0)


def measure_change(
    structure: Structure, candidates: Sequence[Candidate], batches: Batches, change: Change
) -> dict[str, float]:
    """How much the tensors change across each candidate: the mean over all samples, positions and uses.

    Args:
        structure: The graphs of the model.
        candidates: The candidates.
        batches: The data.
        change: Compares what a candidate reads, or the shortcut, with what it gives, or the sum.

    Returns:
        By name of the candidate, the mean.
    """
    sums = dict.fromkeys((each.name for each in candidates), 0.0)
    counts = dict.fromkeys(sums, 0)
    lefts = {each.name: Left(structure, each.cuts) for each in candidates}
    at_start: dict[int, list[Candidate]] = {}
    at_end: dict[int, list[Candidate]] = {}
    for each in candidates:
        at_start.setdefault(id(each.cuts[0].node), []).append(each)
        at_end.setdefault(id(each.cuts[-1].node), []).append(each)
    before: dict[str, Any] = {}

    def call(node: Any, make: Callable[[], Any]) -> Callable[..., Any]:
        starts, ends, operation = at_start.get(id(node), ()), at_end.get(id(node), ()), make()
        if not starts and not ends:
            return operation

        def watched(*args: Any, **kwargs: Any) -> Any:
            for each in starts:
                before[each.name] = lefts[each.name].call(node, make)(*args, **kwargs)
            result = operation(*args, **kwargs)
            for each in ends:
                given, made = (_as_array(value) for value in (before.pop(each.name), result))
                found = change(given, made)
                sums[each.name] += float(np.sum(found))
                counts[each.name] += found.size
            return result

        return watched

    for inputs, _ in batches:
        run(structure.model, inputs, call)
    return {name: sums[name] / max(counts[name], 1) for name in sums}


def measure_loss(
    structure: Structure, candidates: Sequence[Candidate], batches: Batches, loss: Callable[[Any, Any], Any]
) -> dict[str, float]:
    """How much the loss grows when each candidate alone is passed by. Below 0: the model is better without it.

    Args:
        structure: The graphs of the model.
        candidates: The candidates.
        batches: The data, with targets.
        loss: Function of the targets and the outputs, that returns the mean of a batch.

    Returns:
        By name of the candidate, the mean loss without it less that of the whole model.
    """
    lefts = {each.name: Left(structure, each.cuts) for each in candidates}
    totals = dict.fromkeys(lefts, 0.0)
    count = 0
    for inputs, targets in batches:
        size = len(keras.tree.flatten(inputs)[0])
        whole = float(loss(targets, structure.model(inputs, training=False)))
        for name, left in lefts.items():
            totals[name] += size * (float(loss(targets, run_left(structure.model, inputs, left))) - whole)
        count += size
    return {name: value / max(count, 1) for name, value in totals.items()}


def check_importance(importance: Any, data: Any, loss: Any) -> None:
    """Raises unless the importance exists and has what it needs."""
    if not callable(importance) and importance not in _NAMES:
        raise ValueError(
            f"`importance` must be one of {sorted(_NAMES)} or a function `candidate -> score`. "
            f"Received: importance={importance!r}"
        )
    if importance in _CHANGES and data is None:
        raise ValueError(f"This importance needs `data`. Received: importance={importance!r}, data=None")
    if importance == "loss_change" and (data is None or loss is None):
        raise ValueError(
            f"This importance needs `data` with targets, and `loss`. Received: importance={importance!r}, "
            f"data={'None' if data is None else 'given'}, loss={loss!r}"
        )


def score_candidates(
    structure: Structure, candidates: Sequence[Candidate], importance: str | Score, data: Any, loss: Any
) -> dict[str, float]:
    """The score of each candidate, by name.

    Raises:
        ValueError: The data do not fit the model or the loss, or a score is not a finite number.
    """
    if importance in _CHANGES:
        scores = measure_change(structure, candidates, read_batches(data), _CHANGES[str(importance)])
    elif importance == "loss_change":
        scores = measure_loss(structure, candidates, read_batches(data), as_loss(loss))
    elif importance == "random":
        rng = np.random.default_rng(int(keras.random.randint((), 0, 2**31 - 1)))  # follows `set_random_seed`
        scores = {each.name: float(rng.random()) for each in candidates}
    else:
        score = importance if callable(importance) else _OF_WEIGHTS[importance]
        scores = {each.name: _number(score(each), each) for each in candidates}
    return scores


def _number(score: Any, candidate: Candidate) -> float:
    if np.ndim(score) != 0 or not np.isfinite(score):
        raise ValueError(
            f"An importance must return one finite number for each candidate. Received: {score!r} for "
            f"'{candidate.name}'"
        )
    return float(score)


def _weights(candidate: Candidate) -> list[np.ndarray]:
    """What is multiplied: the kernels of each layer, and the scales of normalisations."""
    found = []
    for operation in candidate.operations:
        if not isinstance(operation, keras.Layer) or isinstance(operation, keras.Model):
            continue
        weights = list(find_prunable(operation).weights.values()) or [getattr(operation, "gamma", None)]
        values = [np.asarray(keras.ops.convert_to_numpy(each.value), "float64") for each in weights if each is not None]
        if values:
            found.append(np.concatenate([each.ravel() for each in values]))
    return found


def _geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values and min(values) > 0 else 0.0


def _as_array(value: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value), dtype="float64")


_OF_WEIGHTS: dict[str, Score] = {"l1": l1, "l2": l2}
_CHANGES: dict[str, Change] = {"block_influence": block_influence, "activation_change": activation_change}
_NAMES = [*_OF_WEIGHTS, *_CHANGES, "loss_change", "random"]
