"""Schedules of tfmot: functions of the step that give whether to prune now, and to which sparsity.

The source of the formula is Zhu & Gupta 2017, "To prune, or not to prune".
"""

from typing import Any

import keras
import numpy as np

from keras_prune import schedules as core
from keras_prune.validation import check_sparsity, check_step


class _Flag(np.ndarray):
    """True or False, as an array: code may ask for `.numpy()`, as of tfmot's tensors."""

    @classmethod
    def of(cls, value: bool) -> "_Flag":
        return np.array(value).view(cls)

    def numpy(self) -> np.bool_:
        return np.bool_(bool(self))

    def __repr__(self) -> str:
        return repr(bool(self))

    __str__ = __repr__


class _Number(float):
    """A number that has `.numpy()` too."""

    def numpy(self) -> np.float32:
        return np.float32(self)


class PruningSchedule:
    """Base class of the schedules. Subclass it, and implement `__call__` and `get_config`, for a custom schedule.

    To load a model that was saved with one, register the class with `keras.saving.register_keras_serializable`, or pass
    it in `custom_objects`.

    Example:

    ```python
    class EverySecondStep(sparsity.PruningSchedule):
        def __call__(self, step):
            return step % 2 == 0, 0.5

        def get_config(self):
            return {}
    ```
    """

    def __call__(self, step: Any) -> tuple[Any, Any]:
        """Return whether the masks change at this step (bool), and the sparsity then, in [0, 1)."""
        raise NotImplementedError(f"{type(self).__name__} must implement `__call__`")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the schedule, as JSON can hold them."""
        raise NotImplementedError(f"{type(self).__name__} must implement `get_config`")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PruningSchedule":
        """Return a schedule from the arguments in `config`, also as `get_config` of tfmot's schedules gives them."""
        return cls(**(config["config"] if _is_nested(config) else config))


class _TimedSchedule(PruningSchedule):
    """A schedule that prunes between two steps, each `frequency` steps."""

    begin_step: int
    end_step: int
    frequency: int

    def due(self, step: int) -> int | None:
        """Return the last step up to `step` at which the masks change; None: none yet. The end step always is one."""
        if step < self.begin_step:
            return None
        if 0 <= self.end_step <= step:
            return self.end_step
        return step - (step - self.begin_step) % self.frequency

    def sparsity_at(self, step: int) -> float:
        """Return the sparsity at this step."""
        raise NotImplementedError

    def __call__(self, step: Any) -> tuple[Any, Any]:
        now = int(step)
        in_range = self.begin_step <= now and (self.end_step < 0 or now <= self.end_step)
        prunes = in_range and (now - self.begin_step) % self.frequency == 0
        return _Flag.of(prunes), _Number(self.sparsity_at(now))

    def _set_steps(self, begin_step: Any, end_step: Any, frequency: Any) -> None:
        self.begin_step = check_step(begin_step, "begin_step")
        self.end_step = check_step(end_step, "end_step", minimum=-1)
        self.frequency = check_step(frequency, "frequency", minimum=1)
        if 0 <= self.end_step < self.begin_step:
            raise ValueError(
                "`begin_step` must not be greater than `end_step`. "
                f"Received: begin_step={begin_step}, end_step={end_step}"
            )


class ConstantSparsity(_TimedSchedule):
    """Schedule of constant sparsity from `begin_step` on.

    Args:
        target_sparsity: Fraction of the weights that is pruned, in [0, 1).
        begin_step: Optimizer step of the first pruning, at least 0.
        end_step: Optimizer step of the last change of the masks. Defaults to -1: they may change until training ends.
        frequency: Steps between changes of the masks, at least 1. Defaults to 100.

    Raises:
        ValueError: A value outside these ranges, or `begin_step > end_step`.

    Example:

    ```python
    schedule = sparsity.ConstantSparsity(0.5, 0, frequency=100)
    schedule(200)  # (True, 0.5)
    ```
    """

    def __init__(self, target_sparsity: float, begin_step: int, end_step: int = -1, frequency: int = 100):
        self.target_sparsity = check_sparsity(target_sparsity, "target_sparsity")
        self._set_steps(begin_step, end_step, frequency)

    def sparsity_at(self, step: int) -> float:
        return self.target_sparsity

    def get_config(self) -> dict[str, Any]:
        return _nested(self, "target_sparsity", "begin_step", "end_step", "frequency")


class PolynomialDecay(_TimedSchedule):
    """Polynomial schedule from one sparsity to another, fast at first and ever more slowly.

    With `p` the fraction of the steps that have passed, `sparsity = final + (initial - final) * (1 - p) ** power`.

    Args:
        initial_sparsity: Sparsity at `begin_step`, in [0, 1).
        final_sparsity: Sparsity at `end_step`, in [0, 1).
        begin_step: Optimizer step of the first pruning, at least 0.
        end_step: Optimizer step of the last change of the masks. If equal to `begin_step`, there is one jump.
        power: Exponent, above 0; 1 is linear. Defaults to 3.
        frequency: Steps between changes of the masks, at least 1; they always change at `end_step` too. Defaults to
            100.

    Raises:
        ValueError: A value outside these ranges, or `begin_step > end_step`.

    Example:

    ```python
    schedule = sparsity.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=1000)
    schedule(500)  # (True, 0.7)
    ```
    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        power: float = 3,
        frequency: int = 100,
    ):
        check_step(end_step, "end_step")  # a decay needs an end
        self._set_steps(begin_step, end_step, frequency)
        self._decay = core.PolynomialDecay(
            initial_sparsity=initial_sparsity,
            final_sparsity=final_sparsity,
            begin_step=self.begin_step,
            end_step=self.end_step,
            power=power,
        )
        self.initial_sparsity, self.final_sparsity, self.power = initial_sparsity, final_sparsity, power

    def sparsity_at(self, step: int) -> float:
        return self._decay(max(step, self.begin_step))  # tfmot's are not 0 before `begin_step`, but do not prune there

    def get_config(self) -> dict[str, Any]:
        return _nested(self, "initial_sparsity", "final_sparsity", "power", "begin_step", "end_step", "frequency")


_OURS = {"ConstantSparsity": ConstantSparsity, "PolynomialDecay": PolynomialDecay}


def serialize_schedule(schedule: PruningSchedule) -> dict[str, Any]:
    """`{"class_name": ..., "config": arguments}` of a schedule, as tfmot writes it, also of a custom one."""
    config = schedule.get_config()
    name = type(schedule).__name__
    if type(schedule) is not _OURS.get(name):
        name = keras.saving.get_registered_name(type(schedule))
    return {"class_name": name, "config": config["config"] if _is_nested(config) else config}


def deserialize_schedule(config: Any, custom_objects: Any = None) -> PruningSchedule:
    """The inverse of `serialize_schedule`.

    Raises:
        ValueError: Keras does not know the class.
    """
    if isinstance(config, PruningSchedule):
        return config
    if not isinstance(config, dict) or not isinstance(name := config.get("class_name"), str):
        raise ValueError(f"A pruning schedule has a class and a configuration. Received: pruning_schedule={config!r}")
    cls: Any = keras.saving.get_registered_object(name, custom_objects) or _OURS.get(name)
    if not (isinstance(cls, type) and issubclass(cls, PruningSchedule)):
        raise ValueError(
            f"The pruning schedule of class '{name}' is unknown: pass it in `custom_objects`, or register it with "
            f"`keras.saving.register_keras_serializable`. Received: pruning_schedule={config!r}"
        )
    return cls.from_config(dict(config["config"]))


def _nested(schedule: PruningSchedule, *names: str) -> dict[str, Any]:
    return {"class_name": type(schedule).__name__, "config": {name: getattr(schedule, name) for name in names}}


def _is_nested(config: Any) -> bool:
    return set(config) == {"class_name", "config"}
