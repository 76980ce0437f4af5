"""Prunes a GRU or an LSTM that recognises spoken digits: 80% of the weights, or half the units.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/spoken_digits.py --data=digits.npz                     # a GRU; minutes without a GPU
    python examples/spoken_digits.py --data=digits.npz --cell=lstm --sparsity=0.9
    python examples/spoken_digits.py --data=digits.npz --prune=channels    # whole units, so a smaller network
    python examples/spoken_digits.py --smoke                               # with synthetic sequences, in seconds
    python examples/spoken_digits.py --helpshort

The file holds sequences of numbers, (samples, steps, features), such as log-mel spectrograms of the recordings at
github.com/Jakobovski/free-spoken-digit-dataset. The network standardises them itself. The example prints the pruned
weights or units and a table that compares the models, and writes the dense and the pruned model as .keras and .tflite
to the folder `--output`.
"""

import comparison
import helpers
import keras
import numpy as np
from absl import flags
from keras import layers

import keras_prune as kp

CELLS = {"gru": layers.GRU, "lstm": layers.LSTM}
FLAGS = helpers.define_flags(
    data="sequences of numbers, (samples, steps, features). Without it, synthetic ones.",
    output="out/spoken_digits",
    epochs=25,
    finetune_epochs=10,
    learning_rate=2e-3,
    finetune_learning_rate=2e-3,
    batch_size=32,
    seeds=3,
)
flags.DEFINE_enum("cell", "gru", list(CELLS), "Kind of the recurrent layer.")
comparison.define_flags(sparsity=0.8, ratio=0.5)


def build_model(x: np.ndarray, classes: int) -> keras.Model:
    standardize = layers.Normalization()
    standardize.adapt(x)
    return keras.Sequential(
        [
            keras.Input(x.shape[1:], name="spectrogram"),
            standardize,
            CELLS[FLAGS.cell](64, return_sequences=True),
            layers.GlobalAveragePooling1D(),
            layers.Dense(classes, activation="softmax"),
        ],
        name=FLAGS.cell,
    )


def synthetic() -> helpers.Data:
    """Ten random spectrograms, repeated with noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 1000)
    x = rng.normal(size=(10, 20, 16))[y] + 2 * rng.normal(size=(1000, 20, 16))
    return helpers.Data(x[:800], y[:800], x[800:], y[800:])


def main() -> None:
    data = helpers.prepare(helpers.load(("steps", "features"), np.floating, synthetic))
    data = data._replace(x_train=data.x_train.astype("float32"), x_test=data.x_test.astype("float32"))
    table = comparison.Comparison(data)
    for _ in helpers.seeds():
        # 1. An ordinary model, trained as usual.
        dense = build_model(data.x_train, classes=int(data.y_train.max()) + 1)
        helpers.train(dense, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)

        # 2. A copy whose weights are pruned during fine-tuning, or a new model with half the units, fine-tuned. The
        # dense one is fine-tuned too: a fair comparison.
        if FLAGS.prune == "weights":
            table.add_weights(dense, data.x_train, data.y_train)
        else:
            table.add_channels(dense, kp.prune_channels(dense, FLAGS.ratio), data.x_train, data.y_train)
    table.finish()


if __name__ == "__main__":
    helpers.run(main)
