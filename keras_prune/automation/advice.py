"""What to try where a goal is not met: in numbers, from the candidates that were measured."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

from keras_prune.automation.attempts import DENSE
from keras_prune.automation.choice import most_accurate
from keras_prune.automation.goal import FIELDS, Goal, shrunk_by_zeros
from keras_prune.automation.pareto import Candidate, ParetoFront
from keras_prune.insight.sensitivity.scan import Kind

_SAVED_BY_INT8 = 3.5  # float32 files are about so many times larger: scales, biases and the graph stay


@dataclasses.dataclass(frozen=True)
class Settings:
    """Arguments of the search that its advice may change.

    Args:
        baseline: Metric of the model that was passed.
        kinds: The methods.
        quantize: Quantization of the files.
        epochs: Epochs of fine-tuning.
        time_limit: Seconds; None: no limit.
    """

    baseline: float
    kinds: Sequence[Kind]
    quantize: str | None
    epochs: int
    time_limit: float | None


def advise(front: ParetoFront, goal: Goal, settings: Settings, out_of_time: bool) -> tuple[str, ...]:
    """Return what to try, the surest first.

    Args:
        front: The candidates.
        goal: Which is not met.
        settings: Of the search.
        out_of_time: Whether the time limit ended it.
    """
    lines = []
    if out_of_time:
        lines.append(f"a time_limit above {settings.time_limit:g}: the same call resumes where this one ended")
    lines += _drop(front, goal, settings)
    lines += _budget(front, goal)
    lines += _epochs(front, settings)
    lines += _quantization(front, goal, settings)
    lines += _methods(goal, settings)
    return tuple(lines)


def _drop(front: ParetoFront, goal: Goal, settings: Settings) -> list[str]:
    """The `max_drop` with which the best candidate within the budget would do."""
    pruned = [each for each in front.candidates if each.name != DENSE and math.isfinite(each.metric)]
    within = [each for each in pruned if goal.excess(each) <= 1]
    if not within:
        return []
    best = most_accurate(front, within)[0]
    drop = settings.baseline - best.metric if front.higher_is_better else best.metric - settings.baseline
    return [f"max_drop={_up(drop):g} accepts {best.name}: {front.metric} {best.metric:.6g}, {best.bytes:,} bytes"]


def _budget(front: ParetoFront, goal: Goal) -> list[str]:
    """The budget that a candidate within the bound meets."""
    if goal.budget is None:
        return []
    bound = goal.bound(1.0)
    holding = [each for each in front.candidates if front.holds(each.metric, bound)]
    if not holding:
        return []
    best = min(holding, key=lambda each: (goal.excess(each), each.cost(front.cost)))
    dense = front.candidates[0]
    amounts = []
    for name, value in goal.budget.given.items():
        cost, whole = best.cost(FIELDS[name]), dense.cost(FIELDS[name])
        if name != "latency" and isinstance(value, int):
            amounts.append(f"{name}={max(int(cost), value)}")
        elif cost < whole:
            amounts.append(f"{name}={max(_up(cost / whole, 1e-3), value):g}")
    if len(amounts) < len(goal.budget.given):
        return []
    return [f"Budget({', '.join(amounts)}) is met by {best.name}, {front.metric} {best.metric:.6g}"]


def _epochs(front: ParetoFront, settings: Settings) -> list[str]:
    """More epochs, with what they brought where a candidate was fine-tuned for longer."""
    if not settings.epochs:
        return ["fine_tune_epochs above 0: nothing was fine-tuned"]
    gains = []
    by_model: dict[str, list[Candidate]] = {}
    for each in front.candidates[1:]:
        by_model.setdefault(each.done.rpartition(", epochs")[0], []).append(each)
    for same in by_model.values():
        for first, second in itertools.pairwise(same):
            gain = front.score(second) - front.score(first)
            if second.epochs > first.epochs and gain > 0:
                gains.append((gain, first, second))
    if not gains:
        return [f"fine_tune_epochs={2 * settings.epochs}: each candidate had {settings.epochs} at first"]
    gain, first, second = max(gains, key=lambda each: each[0])
    return [
        f"fine_tune_epochs={2 * second.epochs}: from {first.epochs} to {second.epochs} epochs the {front.metric} of "
        f"{second.name} improved from {first.metric:.6g} to {second.metric:.6g}"
    ]


def _quantization(front: ParetoFront, goal: Goal, settings: Settings) -> list[str]:
    """Another quantization, where the file is the trouble."""
    asked = {} if goal.budget is None else goal.budget.given
    if settings.quantize in (None, "float16") and "bytes" in asked:
        dense = front.candidates[0]
        factor = _SAVED_BY_INT8 if settings.quantize is None else _SAVED_BY_INT8 / 2
        return [f'quantize="int8": the unpruned file would take about {int(dense.bytes / factor):,} bytes']
    if settings.quantize not in ("int8", "dynamic"):
        return []
    lost = [
        (each, (each.keras_metric - each.metric) * (1 if front.higher_is_better else -1)) for each in front.candidates
    ]
    worst, loss = max(lost, key=lambda each: each[1] if math.isfinite(each[1]) else -math.inf)
    before, after = (front.holds(value, goal.bound(1.0)) for value in (worst.keras_metric, worst.metric))
    if not loss > 0 or after or not before:
        return []
    return [
        f'quantize="int16x8" or "float16", or quantization-aware training: {worst.name} has {worst.keras_metric:.6g} '
        f"before quantization and {worst.metric:.6g} after it"
    ]


def _methods(goal: Goal, settings: Settings) -> list[str]:
    """A method that was not asked for."""
    helped = bool(goal.targets) and set(goal.targets) <= shrunk_by_zeros(settings.quantize)
    if "weights" not in settings.kinds and helped:
        return ['methods=["channels", "weights"]: zeros reduce this budget too, mostly at a smaller loss']
    if "channels" not in settings.kinds:
        return ['methods=["channels", "weights"]: fewer channels make every file smaller']
    return []


def _up(value: float, step: float = 1e-4) -> float:
    """Round up, so that what is advised suffices."""
    return math.ceil(round(value / step, 6)) * step
