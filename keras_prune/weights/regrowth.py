"""Regrowth: while the sparsity stays the same, weak weights change places with pruned ones that may do better."""

import abc
import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from keras_prune.selection.top_k import Scores, keep_highest
from keras_prune.validation import check_fraction, check_integer

if TYPE_CHECKING:
    from keras_prune.measurement.weight_statistics import ModelStatistics, SingleWeights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regrowth(abc.ABC):
    """Base of `RigL` and `SET`: drops the smallest weights, and grows as many where a subclass says.

    Args:
        end_step: Optimizer step from which the masks stay as they are; the papers take three quarters of the training.
        fraction: Of the kept weights of each layer, how many change places at an update, in (0, 1). It falls to 0 at
            `end_step`, as a cosine.

    Raises:
        ValueError: A fraction outside (0, 1), or a step that is no whole number of at least 1.
    """

    end_step: int
    fraction: float = 0.3
    needs_data = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "end_step", check_integer(self.end_step, "end_step", minimum=1))
        object.__setattr__(self, "fraction", check_fraction(self.fraction, "fraction", zero=False))

    @abc.abstractmethod
    def growth(self, unit: "SingleWeights", step: int, statistics: "ModelStatistics | None") -> np.ndarray:
        """A score for each weight, of any shape of that size, higher = grow."""

    def fraction_at(self, step: int) -> float:
        return 0.0 if step >= self.end_step else self.fraction / 2 * (1 + math.cos(math.pi * step / self.end_step))

    def renew(
        self, unit: "SingleWeights", kept: np.ndarray, step: int, statistics: "ModelStatistics | None"
    ) -> np.ndarray:
        """The new mask: as many weights are kept as before. Those that grow begin at zero.

        Args:
            unit: The weights of an array.
            kept: Their boolean mask now.
            step: The optimizer step.
            statistics: Of the model.
        """
        count = int(np.count_nonzero(kept))
        swaps = min(int(self.fraction_at(step) * count), kept.size - count)
        if not swaps:
            return kept
        stay = kept & _highest(np.where(kept, np.abs(unit.values), -np.inf), count - swaps)
        growth = np.array(self.growth(unit, step, statistics), np.float64).reshape(kept.shape)
        return stay | _highest(np.where(stay, -np.inf, growth), swaps)


def _highest(scores: np.ndarray, count: int) -> np.ndarray:
    if not count:
        return np.zeros(scores.shape, bool)
    return keep_highest(Scores(scores), count)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RigL(Regrowth):
    """Grows the weights of the largest gradient (Evci et al. 2020, "Rigging the lottery: making all tickets winners").

    The gradient is measured at each update, on a sample of what `fit` trains on or on the `data` of the callback. Give
    the schedule a constant sparsity, and `targets="erk"` as in the paper; with `importance="random"` the first masks
    are random, as there. The optimizer's moments of a weight that grows are those that it had while it was pruned (the
    gradient of pruned weights reaches them), not zero.

    Args:
        end_step: Optimizer step from which the masks stay as they are; the paper takes three quarters of the training.
        fraction: Of the kept weights of each layer, how many change places at an update, in (0, 1). It falls to 0 at
            `end_step`, as a cosine.

    Raises:
        ValueError: A fraction outside (0, 1), or a step that is no whole number of at least 1.

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
    """Grows weights at random (Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive
    sparse connectivity inspired by network science").

    Args:
        end_step: Optimizer step from which the masks stay as they are.
        fraction: Of the kept weights of each layer, how many change places at an update, in (0, 1). It falls to 0 at
            `end_step`, as a cosine; in the paper it stays the same.
        seed: The same weights grow for the same seed.

    Raises:
        ValueError: A fraction outside (0, 1), or a step that is no whole number of at least 1.

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
