"""Worker: what `fit` waits for at a mask update, with each importance: those measured on data cost passes over them.

Each importance prunes a CNN of its own in a real `fit`, which updates the masks after every step, on a sample of the
training data: the default one, 8 batches of 32. The fits take turns (`turns.py`), and so does a dense one, with whose
steps an update is compared. Timed are the hooks of `PruningSchedule` alone.
"""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import backends
import keras
import networks
import turns
from absl import app, flags
from processes import serve

from keras_prune import PolynomialDecay, PruningSchedule, wrap_pruning
from keras_prune.importance import CRITERIA

_ROUNDS = flags.DEFINE_integer("rounds", 6, "Rounds that may be asked for: the schedule lasts that long.")
_SMOKE = flags.DEFINE_bool("smoke", False, "A tiny network, and one importance of each kind.")

BASELINE = "magnitude"
MEASURED = [  # except one that evaluates the model once for each weight
    name
    for name, criterion in CRITERIA.items()
    if criterion.of_weights and criterion.needs.startswith("data") and name != "loss_change"
]
WARM_UP = 2  # steps before the first round: compiling


class Timed(PruningSchedule):
    """Keeps the seconds of each of its updates."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.seconds: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        backends.settle()  # the step itself is not to be counted
        start = time.perf_counter()
        super().on_train_batch_end(batch, logs)
        backends.settle()
        self.seconds.append(time.perf_counter() - start)


def start(model: keras.Model, callbacks: list[keras.callbacks.Callback], steps: int) -> turns.PausedFit:
    x, y = networks.random_data("cnn", steps + 1)

    def fit(paused: turns.PausedFit) -> None:
        hold = turns.holding_callback(keras, paused)
        model.fit(x, y, batch_size=networks.BATCH, verbose=0, callbacks=[*callbacks, hold])

    return turns.PausedFit(fit, backends.settle)


def measure() -> Iterator[dict[str, Any]]:
    names = (BASELINE, "wanda", "taylor") if _SMOKE.value else (BASELINE, *MEASURED)
    steps = WARM_UP + _ROUNDS.value * turns.TURN
    model = networks.build(keras, "cnn", _SMOKE.value)
    fits, schedules = {"dense": start(model, [], steps)}, {}
    for name in names:
        pruned = wrap_pruning(model)
        networks.compile_model(pruned)
        # It ends with the last round: each update of each round has something to prune.
        decay = PolynomialDecay(final_sparsity=0.9, begin_step=0, end_step=steps)
        schedules[name] = Timed(decay, importance=name, frequency=1)
        fits[name] = start(pruned, [schedules[name]], steps)
    for fit in fits.values():
        fit.take_turn(WARM_UP)
    yield {"versions": backends.versions()}
    while True:
        costs = turns.run_turns(fits, turns.TURN)
        step = {"dense": costs["dense"].seconds / turns.TURN}
        yield step | {name: statistics.median(each.seconds[-turns.TURN :]) for name, each in schedules.items()}


def main(_: list[str]) -> None:
    keras.utils.set_random_seed(0)
    serve(measure())


if __name__ == "__main__":
    app.run(main)
