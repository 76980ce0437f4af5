"""Regrowth (dynamic sparse training): at constant sparsity, kept weights are dropped and pruned ones grown."""

import abc
import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from keras_prune.selection.top_k import Scores, keep_highest
from keras_prune.validation import check_finite, check_fraction, check_integer, check_step

if TYPE_CHECKING:
    from keras_prune.measurement.weight_statistics import ModelStatistics, SingleWeights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regrowth(abc.ABC):
    """Base class of `RigL` and `SET`: drops the smallest weights, and grows as many where a subclass says.

    Args:
        end_step: Optimizer step from which the masks no longer change, at least 1. The papers take three quarters of
            the training.
        fraction: Fraction of the kept weights of each layer that is dropped and regrown at an update, in (0, 1). It
            decays to 0 at `end_step`, as a cosine. Defaults to 0.3.

    Raises:
        ValueError: A fraction outside (0, 1), or a step that is not a whole number of at least 1.
    """

    end_step: int
    fraction: float = 0.3
    needs_data = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "end_step", check_step(self.end_step, "end_step", minimum=1))
        object.__setattr__(self, "fraction", check_fraction(self.fraction, "fraction", zero=False))

    @abc.abstractmethod
    def growth(self, unit: "SingleWeights", step: int, statistics: "ModelStatistics | None") -> np.ndarray:
        """Return a score for each weight, of any shape of that size, higher = grow."""

    def fraction_at(self, step: int) -> float:
        """Return the fraction of the kept weights that is dropped and regrown at this step."""
        return 0.0 if step >= self.end_step else self.fraction / 2 * (1 + math.cos(math.pi * step / self.end_step))

    def renew(
        self, unit: "SingleWeights", kept: np.ndarray, step: int, statistics: "ModelStatistics | None"
    ) -> np.ndarray:
        """Return the new mask: as many weights are kept as before. Those that grow begin at zero.

        Args:
            unit: The weights of an array.
            kept: Their boolean mask now, True = kept.
            step: The optimizer step.
            statistics: The statistics of the model; None where `needs_data` is False.

        Raises:
            ValueError: A weight that may grow has a score that is NaN or infinite.
        """
        count = int(np.count_nonzero(kept))
        swaps = min(int(self.fraction_at(step) * count), kept.size - count)
        if not swaps:
            return kept
        stay = kept & _highest(np.where(kept, np.abs(unit.values), -np.inf), count - swaps)
        growth = np.array(self.growth(unit, step, statistics), np.float64).reshape(kept.shape)
        check_finite(growth[~stay], "Scores of weights that may grow", unit.path)
        return stay | _highest(np.where(stay, -np.inf, growth), swaps)


def _highest(scores: np.ndarray, count: int) -> np.ndarray:
    if not count:
        return np.zeros(scores.shape, bool)
    return keep_highest(Scores(scores), count)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RigL(Regrowth):
    """Regrowth that grows the weights of the largest gradient (Evci et al. 2020, "Rigging the lottery: making all
    tickets winners").

    The gradient is measured at each update, on a sample of the training data of `fit` or on the `data` of the callback.
    Use a schedule of constant sparsity, `targets="erk"` as in the paper, and `importance="random"` for random first
    masks, as there. The optimizer's moments of a weight that grows are those that it had while it was pruned (the
    gradient of pruned weights reaches them), not zero.

    Args:
        end_step: Optimizer step from which the masks no longer change, at least 1. The paper takes three quarters of
            the training.
        fraction: Fraction of the kept weights of each layer that is dropped and regrown at an update, in (0, 1). It
            decays to 0 at `end_step`, as a cosine. Defaults to 0.3.

    Raises:
        ValueError: A fraction outside (0, 1), or a step that is not a whole number of at least 1.

    Example:

    ```python
    callback = PruningSchedule(
        ConstantSparsity(0.9), importance="random", targets="erk", regrowth=RigL(end_step=3000), frequency=100
    )
    ```
    """

    needs_data = True

    def growth(self, unit: "SingleWeights", step: int, statistics: "ModelStatistics | None") -> np.ndarray:
        assert statistics is not None
        return np.abs(statistics.mean_gradient(unit, np.asarray))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SET(Regrowth):
    """Regrowth that grows random weights (Mocanu et al. 2018, "Scalable training of artificial neural networks with
    adaptive sparse connectivity inspired by network science").

    Args:
        end_step: Optimizer step from which the masks no longer change, at least 1.
        fraction: Fraction of the kept weights of each layer that is dropped and regrown at an update, in (0, 1). It
            decays to 0 at `end_step`, as a cosine; in the paper it is constant. Defaults to 0.3.
        seed: Random seed, at least 0: the same weights grow for the same seed. Defaults to 0.

    Raises:
        ValueError: A fraction outside (0, 1), or a step that is not a whole number of at least 1.

    Example:

    ```python
    callback = PruningSchedule(ConstantSparsity(0.9), regrowth=SET(end_step=3000), frequency=100)
    ```
    """

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seed", check_integer(self.seed, "seed"))

    def growth(self, unit: "SingleWeights", step: int, statistics: "ModelStatistics | None") -> np.ndarray:
        # By layer and step too: so a resumed run grows what the unbroken one does.
        return np.random.default_rng([self.seed, step, *unit.path.encode()]).random(unit.values.size)
