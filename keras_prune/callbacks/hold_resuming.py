"""What of a `HoldAccuracy` search a backup holds, and how a search goes on from it."""

import dataclasses
from typing import Any

from keras_prune.measurement.fingerprint import differing, named
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
    return {"decisions": decisions, **state, "settings": _settings_of(search)}


def resume(search: Any, epoch: int) -> None:
    """Restore a search as it was after an epoch; one without any backup begins at its beginning.

    Args:
        search: The `HoldAccuracy` callback, which has a `backup`.
        epoch: The epoch.

    Raises:
        ValueError: The backup is of another epoch or model, made with other settings, or damaged.
    """
    found = search.backup.load(epoch, search.model, {**STATE, "settings": dict}, Decision)
    if found is None:
        return
    decisions, state, best = found
    settings = _settings_of(search)
    if state["settings"] != settings:
        raise ValueError(
            "The backup must be of a search with the same settings: empty the folder to start again. "
            f"Received: {search.backup.folder} and {differing(state['settings'], settings)}"
        )
    search._best = best
    search.decisions = Records(decisions)
    for name in STATE:
        setattr(search, name, state[name])
    if search._best is not None and search.decisions[-1].decision == "failed":
        search._best.restore(search.model)  # a backup written before the step back holds the model that failed


def _settings_of(search: Any) -> dict[str, str]:
    """What the decisions of a search depend on."""
    names = ("monitor", "mode", "max_drop", "relative", "baseline_epochs", "step", "resolution", "patience")
    given = {name: getattr(search, name) for name in (*names, "max_sparsity")}
    rule = {name: repr(getattr(search.rule, name)) for name in ("selection", "targets", "prune_frozen")}
    return named(**given, **rule, baseline=search._given_baseline, importance=search.rule.importance)
