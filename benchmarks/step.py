"""Worker: training steps of a dense model and of the same model pruned, with rare and with frequent mask updates.

The backend is that of `KERAS_BACKEND`. How the models are paired, and why, is in `turns.py`.
"""

from collections.abc import Iterator
from typing import Any

import backends
import keras
import networks
import turns
from absl import app, flags
from processes import serve

from keras_prune import PolynomialDecay, PruningSchedule, wrap_pruning

_NETWORK = flags.DEFINE_enum("network", "cnn", networks.NETWORKS, "What to train.")
_SMOKE = flags.DEFINE_bool("smoke", False, "Tiny networks.")


def start(model: keras.Model, callbacks: list[keras.callbacks.Callback]) -> turns.PausedFit:
    x, y = networks.random_data(_NETWORK.value, turns.STEPS + 1)

    def fit(paused: turns.PausedFit) -> None:
        hold = turns.holding_callback(keras, paused)
        model.fit(x, y, batch_size=networks.BATCH, verbose=0, callbacks=[*callbacks, hold])

    return turns.PausedFit(fit, backends.settle)


def prune(model: keras.Model, frequency: int) -> turns.PausedFit:
    pruned = wrap_pruning(model)
    networks.compile_model(pruned)
    # It ends with the round: each update has something to prune.
    schedule = PolynomialDecay(final_sparsity=0.9, begin_step=0, end_step=turns.STEPS)
    return start(pruned, [PruningSchedule(schedule, frequency=frequency)])


def measure() -> Iterator[dict[str, Any]]:
    model = networks.build(keras, _NETWORK.value, _SMOKE.value)
    fits = {str(frequency): prune(model, frequency) for frequency in turns.FREQUENCIES}
    again = networks.build(keras, _NETWORK.value, _SMOKE.value)
    fits = {turns.DENSE: start(model, []), **fits, turns.AGAIN: start(again, [])}
    turns.warm_up(fits)
    yield {"versions": backends.versions()}
    yield {name: cost._asdict() for name, cost in turns.run_turns(fits).items()}


def main(_: list[str]) -> None:
    keras.utils.set_random_seed(0)
    serve(measure())


if __name__ == "__main__":
    app.run(main)
