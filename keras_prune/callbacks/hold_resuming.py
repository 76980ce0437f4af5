"""What of a `HoldAccuracy` search a backup holds, and how a search goes on from it."""

import dataclasses
from typing import Any

from keras_prune.callbacks.hold_backup import SETTINGS, settings_of
from keras_prune.reporting.records import Records
from tflite_export.reporting import Shown

# The state of the search, except models: attributes of the callback.
STATE = {
    "baseline": float | None,
    "_lower_is_better": bool,
    "_held": float,
    "_target": float,
    "_failed": float | None,
    "_epochs_here": int,
    "_done": bool,
}


@dataclasses.dataclass(frozen=True)
class Decision(Shown):
    """Decision of `HoldAccuracy` after an epoch.

    Args:
        epoch: The epoch, counted from 0 as in Keras.
        target: The target sparsity that was tried.
        sparsity: The fraction of all masked weights that was pruned in this epoch.
        metric: The monitored metric after the epoch.
        bound: The worst metric that holds; None while the baseline is measured.
        decision: `"baseline"`, `"held"`, `"wait"` (the metric does not hold yet, but patience is left), or `"failed"`.
    """

    epoch: int
    target: float
    sparsity: float
    metric: float
    bound: float | None
    decision: str


def state_of(search: Any) -> dict[str, Any]:
    """What the backup of a search holds besides its best model, as values that JSON can hold.

    Args:
        search: The `HoldAccuracy` callback.
    """
    decisions = [dataclasses.asdict(decision) for decision in search.decisions]
    state = {name: getattr(search, name) for name in STATE}
    return {"decisions": decisions, **state, SETTINGS: settings_of(search)}


def resume(search: Any, epoch: int) -> None:
    """Restore a search as it was after an epoch; one without any backup begins at its beginning.

    Args:
        search: The `HoldAccuracy` callback, which has a `backup`.
        epoch: The epoch.

    Raises:
        ValueError: The backup is of another epoch or model, made with other settings, or damaged.
    """
    found = search.backup.load(epoch, search.model, STATE, Decision, settings_of(search))
    if found is None:
        return
    decisions, state, search._best = found
    search.decisions = Records(decisions)
    for name in STATE:
        setattr(search, name, state[name])
    if search._best is not None and search.decisions[-1].decision == "failed":
        search._best.restore(search.model)  # a backup written before the step back holds the model that failed
