"""Worker: the same as `step.py` for tfmot, TensorFlow Model Optimization, which prunes models of Keras 2 (tf_keras).

It runs in an environment of its own and imports nothing of keras_prune.
"""

import importlib.metadata
from collections.abc import Iterator
from typing import Any

import networks
import tf_keras
import turns
from absl import app, flags
from processes import serve
from tensorflow_model_optimization.sparsity import keras as tfmot

_NETWORK = flags.DEFINE_enum("network", "cnn", networks.NETWORKS, "What to train.")
_ROUNDS = flags.DEFINE_integer("rounds", 6, "Rounds that may be asked for: the schedule lasts that long.")
_SMOKE = flags.DEFINE_bool("smoke", False, "Tiny networks.")


def start(model: Any, callbacks: list[Any]) -> turns.PausedFit:
    x, y = networks.random_data(_NETWORK.value, turns.total_steps(_ROUNDS.value) + 1)

    def fit(paused: turns.PausedFit) -> None:
        hold = turns.holding_callback(tf_keras, paused)
        model.fit(x, y, batch_size=networks.BATCH, verbose=0, callbacks=[*callbacks, hold])

    return turns.PausedFit(fit)


def prune(frequency: int) -> turns.PausedFit:
    end = turns.total_steps(_ROUNDS.value)
    schedule = tfmot.PolynomialDecay(0.0, 0.9, begin_step=0, end_step=end, frequency=frequency)
    # A model of its own: tfmot's shares the layers of the one that it is given.
    model = tfmot.prune_low_magnitude(networks.build(tf_keras, _NETWORK.value, _SMOKE.value), schedule)
    networks.compile_model(model)
    return start(model, [tfmot.UpdatePruningStep()])


def measure() -> Iterator[dict[str, Any]]:
    fits = {str(frequency): prune(frequency) for frequency in turns.FREQUENCIES}
    fits = {"dense": start(networks.build(tf_keras, _NETWORK.value, _SMOKE.value), []), **fits}
    turns.warm_up(fits)
    names = ("tensorflow-model-optimization", "tf_keras")
    yield {"versions": {name: importlib.metadata.version(name) for name in names}}
    while True:
        yield {name: cost._asdict() for name, cost in turns.run_turns(fits).items()}


def main(_: list[str]) -> None:
    tf_keras.utils.set_random_seed(0)
    serve(measure())


if __name__ == "__main__":
    app.run(main)
