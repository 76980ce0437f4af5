"""`Timetable`: the steps at which masks are updated, and the sparsity at each."""

from collections.abc import Mapping
from typing import Any

from keras_prune.schedules import ConstantSparsity, SparsitySchedule
from keras_prune.validation import check_sparsity, check_step
from keras_prune.weights.regrowth import Regrowth
from keras_prune.weights.rule import PruningRule


class Timetable:
    """Functions of the step, and of nothing else: so `steps_per_execution` and resuming change nothing.

    Args:
        schedule: As in `PruningSchedule`.
        rule: The rule, which has the selection and the targets.
        frequency: Steps between updates.
        regrowth: As in `PruningSchedule`.

    Attributes:
        schedule: The given one, or that which the selection has by default; None if it needs none.
        frequency: Steps between updates.
        begin_step: The first step at which an update is due.
        end_step: The last one; None if there is none.

    Raises:
        ValueError: As in `PruningSchedule`.
    """

    def __init__(self, schedule: SparsitySchedule | None, rule: PruningRule, frequency: int, regrowth: Regrowth | None):
        default = rule.selection.default_sparsity
        self.schedule = ConstantSparsity(default) if schedule is None and default is not None else schedule
        self.frequency = check_step(frequency, "frequency", minimum=1)
        self._ends = rule.selection.needs_sparsity
        self._by_target = _schedules_by_target(self.schedule, rule)
        timing: Any = schedule if rule.selection.needs_sparsity else rule.selection.schedule
        self.begin_step: int = getattr(timing, "begin_step", 0)
        self.end_step: int | None = getattr(timing, "end_step", None)
        if regrowth is not None and (timing is None or self.end_step is not None):
            self.end_step = max(self.end_step or 0, regrowth.end_step)

    def due(self, step: int, again: bool = False) -> int | None:
        """Return the last step at which an update was due, up to `step`; None: none yet.

        Args:
            step: The step.
            again: Whether updates are due after the end too, since that of the end was refused. Defaults to False.
        """
        if step < self.begin_step:
            return None
        regular = step - (step - self.begin_step) % self.frequency
        if self.end_step is None or step < self.end_step:
            return regular
        # A threshold continues to prune weights that fall below it.
        return self.end_step if self._ends and not again else max(regular, self.end_step)

    def sparsity_at(self, own: float | None, step: int) -> float:
        """Return the sparsity at a step that is due, of layers with this final sparsity; None: without their own."""
        return check_sparsity(self._by_target[own](step), f"schedule({step})")

    def most_at(self, step: int) -> float:
        """Return the highest sparsity that is asked of any layer at a step; 0 where the selection decides it."""
        return max((self.sparsity_at(own, step) for own in self._by_target), default=0.0)


def _schedules_by_target(schedule: Any, rule: PruningRule) -> dict[float | None, SparsitySchedule]:
    """A schedule for each final sparsity that single layers have, and that of all others under None."""
    if schedule is not None:
        rule.refuse_sparsity(f"schedule={schedule!r}")
    if not rule.selection.needs_sparsity:
        return {}
    if not callable(schedule) or isinstance(schedule, type):
        raise ValueError(
            "`schedule` must be a function of the step, such as `ConstantSparsity(0.5)` or "
            f"`PolynomialDecay(final_sparsity=0.9, end_step=1000)`. Received: schedule={schedule!r}"
        )
    rule.check_reachable(getattr(schedule, "final_sparsity", 0.0), "schedule.final_sparsity")
    schedules: dict[float | None, SparsitySchedule] = {None: schedule}
    assert isinstance(rule.targets, Mapping)
    for target in rule.targets.values():
        if target is None or target == "erk":
            continue
        if not hasattr(schedule, "with_final_sparsity"):
            raise ValueError(
                "A layer's own target needs a schedule with a final sparsity, such as `PolynomialDecay`. "
                f"Received: targets={rule.targets!r} with schedule={schedule!r}"
            )
        schedules[target] = schedule.with_final_sparsity(target)
    return schedules
