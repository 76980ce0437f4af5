"""Allocation of the per-layer sparsity by trials of Optuna (Akiba et al. 2019), which begin with the greedy one."""

import math
from collections.abc import Callable
from typing import Any

from keras_prune.automation.allocate import Allocation, Path, first_where
from keras_prune.reporting.progress import track
from tflite_export.errors import missing

_LEAST = 0.01  # of a share: every layer is pruned at some scale, so that any target can be reached


def find_optuna() -> Any:
    """Return the package Optuna.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import optuna  # here, since it is an extra
    except ImportError as error:
        raise missing('search="optuna"', "optuna") from error
    return optuna


def allocate_by_trials(
    path: Path,
    left: Callable[[Allocation], float],
    held: Allocation,
    greedy: Allocation,
    target: float,
    judge: Callable[[Allocation], float],
    *,
    lower_is_better: bool,
    trials: int,
    seed: int,
) -> Allocation:
    """Return the allocation with the best metric of those that were tried, the greedy one included.

    A trial is a share for each layer. All shares are scaled by the same factor until the target is reached, so every
    allocation keeps no more than the target.

    Args:
        path: Its end has the highest ratios.
        left: Returns the fraction that an allocation keeps.
        held: The ratios that are pruned already: ratios only rise.
        greedy: The allocation to improve on.
        target: Largest fraction to keep.
        judge: Returns the metric of a model pruned by an allocation, before fine-tuning; it may be NaN.
        lower_is_better: Whether the metric should be low.
        trials: Number of trials, at least 1, besides the greedy allocation.
        seed: Of Optuna's sampler.
    """
    most = path.at(path.length)
    room = {name: ratio - held.get(name, 0.0) for name, ratio in most.items() if ratio > held.get(name, 0.0)}

    def spread(shares: Allocation) -> Allocation:
        def at(scale: float) -> Allocation:
            return held | {name: held.get(name, 0.0) + room[name] * min(1.0, scale * shares[name]) for name in room}

        return at(first_where(lambda scale: left(at(scale)) <= target, 1 / _LEAST))

    def value_of(allocation: Allocation) -> float:
        value = judge(allocation)
        return (math.inf if lower_is_better else -math.inf) if math.isnan(value) else value

    best, best_value = greedy, value_of(greedy)
    optuna = find_optuna()
    study = optuna.create_study(
        direction="minimize" if lower_is_better else "maximize", sampler=optuna.samplers.TPESampler(seed=seed)
    )
    wants = {name: (greedy.get(name, 0.0) - held.get(name, 0.0)) / room[name] for name in room}
    top = max(wants.values(), default=0.0) or 1.0
    study.enqueue_trial({name: min(max(want / top, _LEAST), 1.0) for name, want in wants.items()})
    for _ in track(range(trials), trials, "Trials of allocations"):
        trial = study.ask()
        allocation = spread({name: trial.suggest_float(name, _LEAST, 1.0) for name in room})
        value = value_of(allocation)
        study.tell(trial, value)
        if value < best_value if lower_is_better else value > best_value:
            best, best_value = allocation, value
    return best
