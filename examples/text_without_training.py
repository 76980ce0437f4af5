"""Prunes a small Transformer that classifies sentences without training it again: only its inputs are needed.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/text_without_training.py --data=sst2.npz            # minutes without a GPU
    python examples/text_without_training.py --data=sst2.npz --holdout  # on a tenth of the training sentences
    python examples/text_without_training.py --smoke                    # with synthetic sentences, in seconds
    python examples/text_without_training.py --helpshort

The file is that of `transformer_sst2.py`: ids of words, 0 for none. The model is trained as usual. Then half of its
heads and of the units between its two last layers are removed, or half of the weights of all layers but the table of
words are set to zero, scattered or two of every four. Each is done as it stands and once more with some training
sentences, without their labels, to which what is kept is fitted. Prints the accuracy of each on the test sentences.
"""

from collections.abc import Callable

import helpers
import keras
import numpy as np
import sentence_data
from absl import flags

import keras_prune as kp

FLAGS = helpers.define_flags(
    data="ids of words, (samples, steps), 0 for none. Without it, synthetic ones.",
    output="out/text_without_training",
    epochs=2,
    finetune_epochs=0,
    learning_rate=1e-3,
    finetune_learning_rate=1e-3,
    batch_size=64,
    seeds=3,
)
flags.DEFINE_integer("samples", 1024, "Training sentences, without labels, that the pruned model is fitted to.")
helpers.check_flag("samples", lambda value: value >= 1, "at least 1")


def ways(model: keras.Model, x: np.ndarray) -> dict[str, Callable[[], keras.Model]]:
    """How the model is pruned, by what the table calls it."""
    table = next(layer.name for layer in model.layers if isinstance(layer, keras.layers.Embedding))
    units = next(layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense))
    halves = {"*attention*:num_heads": 0.5, units: 0.5}
    weights = {"targets": {table: None}}
    pairs = {"selection": kp.NByM(2, 4), **weights}
    return {
        "half of heads and units": lambda: kp.prune_channels(model, ratios=halves).model,
        "half of heads and units, compensated": lambda: kp.prune_channels(model, ratios=halves, compensate=x).model,
        "half of the weights, by magnitude": lambda: kp.prune_weights(model, 0.5, **weights),
        "half of the weights, by Wanda": lambda: kp.prune_weights(model, 0.5, importance="wanda", data=x, **weights),
        "half of the weights, reconstructed": lambda: kp.prune_weights(model, 0.5, reconstruct=x, **weights),
        "2:4, by magnitude": lambda: kp.prune_weights(model, **pairs),
        "2:4, by Wanda": lambda: kp.prune_weights(model, importance="wanda", data=x, **pairs),
        "2:4, reconstructed": lambda: kp.prune_weights(model, reconstruct=x, **pairs),
    }


def accuracy(model: keras.Model, data: helpers.Data) -> float:
    labels = model.predict(data.x_test, batch_size=256, verbose=0).argmax(-1)
    return float(np.mean(labels == data.y_test))


def main() -> None:
    data = sentence_data.load()
    found: dict[str, list[float]] = {}
    for seed in helpers.seeds():
        dense = sentence_data.model_for(data)
        helpers.train(dense, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)
        chosen = np.random.default_rng(seed).permutation(len(data.x_train))[: FLAGS.samples]
        found.setdefault("dense", []).append(accuracy(dense, data))
        for name, prune in ways(dense, data.x_train[chosen]).items():
            found.setdefault(name, []).append(accuracy(prune(), data))
    lost = {name: np.subtract(found["dense"], each) for name, each in found.items()}
    seeds = [f"seed {FLAGS.seed + number}" for number in range(FLAGS.seeds)]
    rows = [
        (name, *(f"{each:.2%}" for each in accuracies), f"{100 * np.mean(lost[name]):.2f}")
        for name, accuracies in found.items()
    ]
    helpers.print_table(("pruned without training", *seeds, "points lost"), rows)


if __name__ == "__main__":
    helpers.run(main)
