"""Prunes a small Transformer that classifies sentences: 90% of the weights, or half the heads and widths.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/transformer_sst2.py --data=sst2.npz                     # minutes without a GPU
    python examples/transformer_sst2.py --data=sst2.npz --sparsity=0.8
    python examples/transformer_sst2.py --data=sst2.npz --prune=channels    # heads and widths: a smaller network
    python examples/transformer_sst2.py --smoke                             # with synthetic sentences, in seconds
    python examples/transformer_sst2.py --helpshort

The file holds ids of words, (samples, steps), 0 for none, such as the sentences of SST-2, which are at
nlp.stanford.edu/sentiment, with labels 1 for positive and 0 for negative ones. The network has a custom layer: its
weights are not pruned, unless `register_prunable` names them, and `positions` below is all that `prune_channels` needs
to know. The example prints the pruned weights or channels and a table that compares the models, and writes the dense
and the pruned model as .keras and .tflite to the folder `--output`.
"""

import comparison
import helpers
import keras
import numpy as np
from keras import layers

import keras_prune as kp

WIDTH, HEADS = 64, 4
FLAGS = helpers.define_flags(
    data="ids of words, (samples, steps), 0 for none. Without it, synthetic ones.",
    output="out/transformer_sst2",
    epochs=4,
    finetune_epochs=2,
    learning_rate=1e-3,
    finetune_learning_rate=1e-3,
    batch_size=64,
    seeds=3,
)
comparison.define_flags(sparsity=0.9, ratio=0.5)


@keras.saving.register_keras_serializable("examples")
class Positions(layers.Layer):
    """Custom layer that adds a learned vector for its position to each step."""

    supports_masking = True

    def build(self, shape: tuple[int, ...]) -> None:
        self.vectors = self.add_weight(shape=shape[1:], initializer="uniform", name="vectors")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return x + self.vectors


@kp.register_rule(Positions)
def positions(call):
    """The last axis of the weight belongs to the channels of the input, which are also those of the output."""
    call.bind(call.operation.vectors, -1, call.vector(call.inputs[0]), "through")
    return call.inputs[0]


def build_model(words: int, steps: int, classes: int) -> keras.Model:
    inputs = keras.Input((steps,), dtype="int32", name="words")
    x = layers.Embedding(words, WIDTH, mask_zero=True)(inputs)
    x = layers.Dropout(0.2)(Positions()(x))
    y = layers.LayerNormalization()(x)
    y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)
    x = layers.Add()([x, layers.Dropout(0.1)(y)])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(WIDTH)(layers.Dense(2 * WIDTH, activation="relu")(y))
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dropout(0.1)(y)]))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling1D()(x))
    outputs = layers.Dense(classes, activation="softmax")(x)
    return keras.Model(inputs, outputs, name="transformer")


def synthetic() -> helpers.Data:
    """Random words, every fourth of which depends on the class."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1000)
    x = rng.integers(1, 500, (1000, 24))
    x = np.where(rng.random(x.shape) < 0.25, 500 + 50 * y[:, None] + x % 50, x)
    return helpers.Data(x[:800], y[:800], x[800:], y[800:])


def main() -> None:
    data = helpers.prepare(helpers.load(("steps",), np.integer, synthetic))
    data = data._replace(x_train=data.x_train.astype("int32"), x_test=data.x_test.astype("int32"))
    if min(data.x_train.min(), data.x_test.min()) < 0:
        raise helpers.BadData("Ids of words must be at least 0. Received: negative ones")
    if not data.x_test.any(axis=1).all():
        raise helpers.BadData("A sentence in x_test must have a word. Received: one of zeros only")
    some = data.x_train.any(axis=1)  # the mean over no words is not a number, and would make all weights that
    data = data._replace(x_train=data.x_train[some], y_train=data.y_train[some])
    words = int(max(data.x_train.max(), data.x_test.max())) + 1
    table = comparison.Comparison(data)
    for _ in helpers.seeds():
        # 1. An ordinary model, trained as usual.
        dense = build_model(words, steps=data.x_train.shape[1], classes=int(data.y_train.max()) + 1)
        helpers.train(dense, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)

        # 2. A copy whose weights are pruned during fine-tuning, or a new model with half the heads and widths,
        # fine-tuned. The dense one is fine-tuned too: a fair comparison.
        if FLAGS.prune == "weights":
            table.add_weights(dense, data.x_train, data.y_train)
        else:
            table.add_channels(dense, kp.prune_channels(dense, FLAGS.ratio), data.x_train, data.y_train)
    table.finish()


if __name__ == "__main__":
    helpers.run(main)
