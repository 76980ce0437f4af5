"""Sparsity schedules: functions of the training step that give the fraction of pruned weights.

A schedule is a plain frozen object: it holds no Keras state and can be called, printed, compared and plotted
without a model. Anything callable of this form is a schedule too: `lambda step: min(0.8, step / 1000)`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from keras_prune.validation import check_number, check_sparsity, check_step

SparsitySchedule = Callable[[int], float]


def _set(schedule: Any, **fields: Any) -> None:
    """Sets fields of a frozen schedule, to plain Python numbers in place of, say, NumPy's."""
    for name, value in fields.items():
        object.__setattr__(schedule, name, value)


@dataclasses.dataclass(frozen=True)
class ConstantSparsity:
    """Schedule of constant sparsity from `begin_step` on.

    Args:
        target_sparsity: Fraction of the weights that is pruned, in [0, 1).
        begin_step: Optimizer step of the first pruning, at least 0. Before it the sparsity is 0. Defaults to 0.

    Raises:
        ValueError: A sparsity outside [0, 1), or a negative step.

    Example:

    ```python
    schedule = ConstantSparsity(0.5, begin_step=100)
    schedule(99), schedule(100)  # (0.0, 0.5)
    ```
    """

    target_sparsity: float
    begin_step: int = 0

    def __post_init__(self) -> None:
        _set(self, target_sparsity=check_sparsity(self.target_sparsity, "target_sparsity"))
        _set(self, begin_step=check_step(self.begin_step, "begin_step"))

    @property
    def final_sparsity(self) -> float:
        """The target sparsity."""
        return self.target_sparsity

    @property
    def end_step(self) -> int:
        """The step from which the final sparsity holds: the first one."""
        return self.begin_step

    def with_final_sparsity(self, final_sparsity: float) -> "ConstantSparsity":
        """Return the same schedule with another sparsity, as per-layer targets need."""
        return dataclasses.replace(self, target_sparsity=final_sparsity)

    def __call__(self, step: int) -> float:
        return self.target_sparsity if step >= self.begin_step else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class RampSchedule:
    """Base class of schedules that go from one sparsity to another between two steps; a subclass implements `curve`.

    Args:
        final_sparsity: Sparsity from `end_step` on, in [0, 1).
        begin_step: Optimizer step of the first pruning, at least 0. Before it the sparsity is 0. Defaults to 0.
        end_step: Optimizer step from which the final sparsity holds. If equal to `begin_step`, there is one jump.
        initial_sparsity: Sparsity at `begin_step`, in [0, 1). Defaults to 0.

    Raises:
        ValueError: A sparsity outside [0, 1), a negative step, or `begin_step > end_step`.
    """

    final_sparsity: float
    begin_step: int = 0
    end_step: int
    initial_sparsity: float = 0.0

    def __post_init__(self) -> None:
        for name in ("final_sparsity", "initial_sparsity"):
            _set(self, **{name: check_sparsity(getattr(self, name), name)})
        for name in ("begin_step", "end_step"):
            _set(self, **{name: check_step(getattr(self, name), name)})
        if self.begin_step > self.end_step:
            raise ValueError(
                "`begin_step` must not be greater than `end_step`. "
                f"Received: begin_step={self.begin_step}, end_step={self.end_step}"
            )

    def with_final_sparsity(self, final_sparsity: float) -> "RampSchedule":
        """Return the same ramp to another final sparsity, as per-layer targets need."""
        return dataclasses.replace(
            self,
            final_sparsity=final_sparsity,
            initial_sparsity=min(self.initial_sparsity, final_sparsity),
        )

    def curve(self, progress: float) -> float:
        """Return the fraction of the way from initial to final sparsity, for `progress` in [0, 1); 0 at 0."""
        raise NotImplementedError

    def __call__(self, step: int) -> float:
        if step < self.begin_step:
            return 0.0
        if step >= self.end_step:
            return self.final_sparsity
        progress = (step - self.begin_step) / (self.end_step - self.begin_step)
        return self.initial_sparsity + (self.final_sparsity - self.initial_sparsity) * self.curve(progress)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolynomialDecay(RampSchedule):
    """Polynomial schedule, fast at first and ever more slowly: the usual choice (Zhu & Gupta 2017, "To prune, or not to
    prune").

    With `p` the fraction of the steps that have passed,
    `sparsity = final + (initial - final) * (1 - p) ** power`, as in TensorFlow Model Optimization.

    Args:
        final_sparsity: Sparsity from `end_step` on, in [0, 1).
        begin_step: Optimizer step of the first pruning, at least 0. Before it the sparsity is 0. Defaults to 0.
        end_step: Optimizer step from which the final sparsity holds, at least `begin_step`.
        initial_sparsity: Sparsity at `begin_step`, in [0, 1). Defaults to 0.
        power: Exponent, above 0; 1 is linear. Defaults to 3.

    Raises:
        ValueError: A value outside these ranges, or `begin_step > end_step`.

    Example:

    ```python
    schedule = PolynomialDecay(final_sparsity=0.8, begin_step=0, end_step=1000)
    schedule(500)  # 0.8 - 0.8 * 0.5 ** 3 = 0.7
    ```
    """

    power: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _set(self, power=check_number(self.power, "power", minimum=0, above=True))

    def curve(self, progress: float) -> float:
        return 1.0 - (1.0 - progress) ** self.power


@dataclasses.dataclass(frozen=True, kw_only=True)
class CosineDecay(RampSchedule):
    """Cosine schedule, slow at both ends: half a cosine wave from initial to final sparsity (the curve of Loshchilov &
    Hutter 2017, "SGDR: Stochastic gradient descent with warm restarts").

    Takes the arguments of `PolynomialDecay`, without `power`.

    Example:

    ```python
    schedule = CosineDecay(final_sparsity=0.8, end_step=1000)
    schedule(500)  # 0.4
    ```
    """

    def curve(self, progress: float) -> float:
        return 0.5 * (1.0 - math.cos(math.pi * progress))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExponentialDecay(RampSchedule):
    """Exponential schedule, which prunes the same fraction of the remaining weights in each equal number of steps (as
    iterative pruning does, Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks").

    The density `1 - sparsity` falls geometrically. Takes the arguments of `PolynomialDecay`, without `power`.

    Example:

    ```python
    schedule = ExponentialDecay(final_sparsity=0.75, end_step=1000)
    schedule(500)  # 0.5: half of the weights remain after half of the steps, a quarter at the end
    ```
    """

    def curve(self, progress: float) -> float:
        first, last = 1.0 - self.initial_sparsity, 1.0 - self.final_sparsity
        if first == last:
            return progress
        return (first - first * (last / first) ** progress) / (first - last)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepDecay(RampSchedule):
    """Schedule of equal jumps: the first after one `jumps`-th of the steps, the last at `end_step`.

    Takes the arguments of `PolynomialDecay`, without `power`, and:

    Args:
        jumps: Number of jumps, at least 1. Defaults to 4.

    Example:

    ```python
    schedule = StepDecay(final_sparsity=0.8, end_step=1000, jumps=2)
    schedule(499), schedule(500), schedule(1000)  # (0.0, 0.4, 0.8)
    ```
    """

    jumps: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        _set(self, jumps=check_step(self.jumps, "jumps", minimum=1))

    def curve(self, progress: float) -> float:
        return math.floor(progress * self.jumps) / self.jumps
