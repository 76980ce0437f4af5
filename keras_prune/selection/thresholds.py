"""Selections that keep all scores that reach a threshold, and so decide themselves how much is pruned.

The same objects are the `threshold` of `prune_channels` and `prune_layers`: see `unit_threshold`.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from keras_prune.selection.base import FAR_BELOW, Candidate, Selection
from keras_prune.selection.top_k import BLOCK
from keras_prune.validation import check_number

Value = float | Callable[[int], float]


@dataclasses.dataclass(frozen=True)
class ThresholdRule(Selection):
    """Base class of the threshold selections; a subclass says which limit scores must reach."""

    needs_sparsity = False

    @property
    def schedule(self) -> Callable[[int], float] | None:  # type: ignore[override]
        (value,) = (getattr(self, field.name) for field in dataclasses.fields(self))
        return value if callable(value) else None

    @property
    def is_off(self) -> bool:
        return 0 in dataclasses.astuple(self)

    def limit(self, weight: np.ndarray, scores: np.ndarray, step: int) -> float:
        """The lowest score that is kept."""
        raise NotImplementedError

    def select(self, candidates: Sequence[Callable[[], Candidate]], sparsity: float, step: int) -> Iterator[np.ndarray]:
        for fetch in candidates:
            yield self._mask(fetch(), step)

    def _mask(self, candidate: Candidate, step: int) -> np.ndarray:
        scores = candidate.scores()
        return (scores >= self.limit(candidate.weight, scores, step)) & candidate.kept  # pruned weights remain pruned


def _check_value(value: Value, name: str) -> None:
    if not callable(value):
        check_number(value, name, minimum=0)


def _value_at(value: Value, name: str, step: int) -> float:
    if not callable(value):
        return value
    now = float(value(step))
    _check_value(now, f"{name}({step})")
    return now


@dataclasses.dataclass(frozen=True)
class Threshold(ThresholdRule):
    """Selection that prunes the weights with `|w| < value` (or, with another importance, those of a lower score).

    In `prune_channels` and `prune_layers` a number means the same.

    Args:
        value: Threshold, at least 0, in the units of the weights (or of the scores); or a function of the step, such as
            a schedule.

    Raises:
        ValueError: A negative or infinite number, or NaN.

    Example:

    ```python
    callback = PruningSchedule(selection=Threshold(0.05))
    ```
    """

    value: Value

    def __post_init__(self) -> None:
        _check_value(self.value, "value")

    def limit(self, weight: np.ndarray, scores: np.ndarray, step: int) -> float:
        return _value_at(self.value, "value", step)


@dataclasses.dataclass(frozen=True)
class RelativeThreshold(ThresholdRule):
    """Selection that prunes the weights with `|w| < fraction * max|w|`, the largest of their own array.

    As the `threshold` of `prune_channels` or `prune_layers` it removes what scores below that fraction of the largest
    score.

    Args:
        fraction: Threshold as a fraction of the largest score, at least 0, usually below 1; or a function of the step,
            such as a schedule.

    Raises:
        ValueError: A negative or infinite number, or NaN.

    Example:

    ```python
    callback = PruningSchedule(selection=RelativeThreshold(0.1))
    ```
    """

    fraction: Value

    def __post_init__(self) -> None:
        _check_value(self.fraction, "fraction")

    def limit(self, weight: np.ndarray, scores: np.ndarray, step: int) -> float:
        return _value_at(self.fraction, "fraction", step) * max(float(np.max(scores)), 0.0)


@dataclasses.dataclass(frozen=True)
class StdThreshold(ThresholdRule):
    """Selection that prunes the weights with `|w| < factor * std(w)` (Han et al. 2015, "Learning both Weights and
    Connections for Efficient Neural Networks": the "quality parameter").

    The standard deviation is that of the whole array, zeros included: it falls as weights are pruned, so that repeated
    pruning converges.

    Args:
        factor: Threshold in standard deviations, at least 0; or a function of the step, such as a schedule.

    Raises:
        ValueError: A negative or infinite number, or NaN.

    Example:

    ```python
    callback = PruningSchedule(selection=StdThreshold(0.5))
    ```
    """

    factor: Value

    def __post_init__(self) -> None:
        _check_value(self.factor, "factor")

    def limit(self, weight: np.ndarray, scores: np.ndarray, step: int) -> float:
        return _value_at(self.factor, "factor", step) * _std(weight)


@dataclasses.dataclass(frozen=True)
class MeanThreshold(ThresholdRule):
    """Selection that prunes the weights with `|w| < mean|w| - deviations * std|w|` of their own array.

    The mean and the standard deviation are those of all scores, those of pruned weights as 0, so that repeated pruning
    converges. As the `threshold` of `prune_channels` or `prune_layers` it removes what scores so far below the mean.

    Args:
        deviations: How many standard deviations below the mean the threshold is, at least 0; or a function of the step,
            such as a schedule.

    Raises:
        ValueError: A negative or infinite number, or NaN.

    Example:

    ```python
    small = prune_channels(model, threshold=MeanThreshold(1.0)).model
    ```
    """

    deviations: Value

    def __post_init__(self) -> None:
        _check_value(self.deviations, "deviations")

    @property
    def is_off(self) -> bool:
        return False  # at 0 everything below the mean is pruned

    def limit(self, weight: np.ndarray, scores: np.ndarray, step: int) -> float:
        known = np.where(scores > FAR_BELOW / 2, scores, 0)
        return float(known.mean(dtype=np.float64)) - _value_at(self.deviations, "deviations", step) * _std(known)


def _std(weight: np.ndarray) -> float:
    """`np.std` in double precision, block by block: NumPy would hold the whole array as float64."""
    flat = weight.reshape(-1)
    mean = flat.mean(dtype=np.float64)
    squares = 0.0
    for start in range(0, flat.size, BLOCK):
        centred = flat[start : start + BLOCK] - mean
        squares += float(np.square(centred).sum())
    return math.sqrt(squares / flat.size)
