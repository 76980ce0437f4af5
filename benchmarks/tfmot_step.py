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
_SMOKE = flags.DEFINE_bool("smoke", False, "Tiny networks.")


def start(model: Any, callbacks: list[Any]) -> turns.PausedFit:
    x, y = networks.random_data(_NETWORK.value, turns.STEPS + 1)

    def fit(paused: turns.PausedFit) -> None:
        hold = turns.holding_callback(tf_keras, paused)
        model.fit(x, y, batch_size=networks.BATCH, verbose=0, callbacks=[*callbacks, hold])

    return turns.PausedFit(fit)


def prune(frequency: int) -> turns.PausedFit:
    schedule = tfmot.PolynomialDecay(0.0, 0.9, begin_step=0, end_step=turns.STEPS, frequency=frequency)
    # A model of its own: tfmot's shares the layers of the one that it is given.
    model = tfmot.prune_low_magnitude(networks.build(tf_keras, _NETWORK.value, _SMOKE.value), schedule)
    networks.compile_model(model)
    return start(model, [tfmot.UpdatePruningStep()])


def measure() -> Iterator[dict[str, Any]]:
    fits = {str(frequency): prune(frequency) for frequency in turns.FREQUENCIES}
    dense = (networks.build(tf_keras, _NETWORK.value, _SMOKE.value) for _ in range(2))
    fits = {turns.DENSE: start(next(dense), []), **fits, turns.AGAIN: start(next(dense), [])}
    turns.warm_up(fits)
    names = ("tensorflow-model-optimization", "tf_keras")
    yield {"versions": {name: importlib.metadata.version(name) for name in names}}
    yield {name: cost._asdict() for name, cost in turns.run_turns(fits).items()}


def main(_: list[str]) -> None:
    tf_keras.utils.set_random_seed(0)
    serve(measure())


if __name__ == "__main__":
    app.run(main)
