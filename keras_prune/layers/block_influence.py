"""Importance of candidates on data: how much a tensor changes across each, and what the loss is without it."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune.graph.execution import run
from keras_prune.graph.structure import Structure
from keras_prune.layers.bypass import Left
from keras_prune.layers.candidates import Candidate
from keras_prune.layers.rebuild import rebuild
from keras_prune.measurement.batches import Batch
from keras_prune.measurement.loss import compile_loss, no_loss
from keras_prune.reporting.progress import track

Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


def block_influence(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """1 - cosine similarity of the vectors along the last axis (Men et al. 2024, "ShortGPT")."""
    product = np.sum(before * after, axis=-1)
    size = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
    same = np.all(before == after, axis=-1)  # vectors of zeros have no direction
    return 1 - np.where(same, 1.0, np.divide(product, size, out=np.zeros_like(product), where=size > 0))


def activation_change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Euclidean distance of a sample's tensor after a candidate from that before it, relative to that before it."""
    axes = tuple(range(1, before.ndim))
    distance, size = (np.sqrt(np.sum(np.square(values), axis=axes)) for values in (after - before, before))
    return np.where(distance > 0, distance / np.maximum(size, 1e-30), 0.0)


def measure_change(
    structure: Structure, candidates: Sequence[Candidate], batches: Iterable[Batch], change: Change
) -> dict[str, float]:
    """Return how much tensors change across each candidate: the mean over all samples, positions and uses.

    Args:
        structure: The graphs of the model.
        candidates: The candidates.
        batches: The data.
        change: Compares the input of a candidate, or the shortcut, with its output, or the sum.

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

    for inputs, _, _ in batches:
        run(structure.model, inputs, call)
    return {name: sums[name] / max(counts[name], 1) for name in sums}


def measure_loss(
    structure: Structure, candidates: Sequence[Candidate], batches: Iterable[Batch], loss: Any, loss_weights: Any
) -> dict[str, float]:
    """Return how much the loss grows when each candidate alone is bypassed. Below 0: the model is better without it.

    The batches are held in memory, as every candidate is evaluated on all of them.

    Args:
        structure: The graphs of the model.
        candidates: The candidates.
        batches: Inputs and targets.
        loss: As `compile` takes it.
        loss_weights: Likewise.

    Returns:
        By name of the candidate, the mean loss without it less that of the whole model.

    Raises:
        ValueError: The loss cannot be computed, or is not finite.
    """
    copy = rebuild(structure, Left(structure))  # the loss is compiled on a copy, which is never called
    compile_loss(copy, keras.optimizers.SGD(0.0), loss, loss_weights)
    held = list(batches)

    def evaluate(left: Left) -> float:
        total = count = 0.0
        for x, y, weight in held:
            size = len(keras.tree.flatten(x)[0])
            outputs = run(structure.model, x, left.call)
            with no_loss(copy, y):
                found = copy.compute_loss(None, y, outputs, sample_weight=weight, training=False)
            total += size * float(_as_array(found))
            count += size
        if not math.isfinite(total):
            raise ValueError(f"The loss must be finite. Received: loss={total / count}")
        return total / count

    whole = evaluate(Left(structure))
    found = track(candidates, len(candidates), f"Loss without each of {len(candidates)} candidates")
    return {each.name: evaluate(Left(structure, each.cuts)) - whole for each in found}


def _as_array(value: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value), dtype="float64")
