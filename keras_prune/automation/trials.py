"""How much of each layer goes, by trial: Optuna (Akiba et al. 2019) begins with what the greedy path says."""

import math
from collections.abc import Callable
from typing import Any

from keras_prune.automation.allocate import Allocation, first_where
from keras_prune.automation.methods import Method
from keras_prune.reporting.progress import track

_LEAST = 0.01  # of an appetite: every layer goes sooner or later, so that any target can be reached


def find_optuna() -> Any:
    """The package.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import optuna  # here, since it is an extra
    except ImportError as error:
        raise ImportError(
            "search=\"optuna\" needs Optuna: pip install 'keras-prune[optuna]'. Received: no such package"
        ) from error
    return optuna


def allocate_by_trials(
    method: Method,
    held: Allocation,
    greedy: Allocation,
    target: float,
    judge: Callable[[Allocation], float],
    *,
    lower_is_better: bool,
    trials: int,
    seed: int,
) -> Allocation:
    """The best allocation that was tried, each of which leaves no more than the target; the greedy one is the first.

    A trial is an appetite for each layer. All appetites are scaled alike until as much has gone as shall go.

    Args:
        method: It tells what an allocation leaves, and the most that may go.
        held: What is gone already: ratios only rise.
        greedy: The allocation that is to be beaten.
        target: What may be left.
        judge: The metric of a model pruned in this way, which was not trained since; it may be NaN.
        lower_is_better: Of the metric.
        trials: How many, at least 1; the greedy one comes on top.
        seed: Of Optuna's choices.
    """
    most = method.path.at(float(len(method.path.steps)))
    room = {name: ratio - held.get(name, 0.0) for name, ratio in most.items() if ratio > held.get(name, 0.0)}

    def spread(appetites: Allocation) -> Allocation:
        def at(scale: float) -> Allocation:
            return held | {name: held.get(name, 0.0) + room[name] * min(1.0, scale * appetites[name]) for name in room}

        return at(first_where(lambda scale: method.left(at(scale)) <= target, 1 / _LEAST))

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
