"""Sentences as ids of words, and a small Transformer that classifies them."""

import helpers
import keras
import numpy as np
from keras import layers

import keras_prune as kp

WIDTH, HEADS = 64, 4


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


def load() -> helpers.Data:
    """The sentences of `--data`, or synthetic ones, as `--holdout` and `--smoke` change them."""
    data = helpers.prepare(helpers.load(("steps",), np.integer, synthetic))
    data = data._replace(x_train=data.x_train.astype("int32"), x_test=data.x_test.astype("int32"))
    if min(data.x_train.min(), data.x_test.min()) < 0:
        raise helpers.BadData("Ids of words must be at least 0. Received: negative ones")
    if not data.x_test.any(axis=1).all():
        raise helpers.BadData("A sentence in x_test must have a word. Received: one of zeros only")
    some = data.x_train.any(axis=1)  # the mean over no words is not a number, and would make all weights that
    return data._replace(x_train=data.x_train[some], y_train=data.y_train[some])


def model_for(data: helpers.Data) -> keras.Model:
    """A new model for these sentences."""
    words = int(max(data.x_train.max(), data.x_test.max())) + 1
    return build_model(words, steps=data.x_train.shape[1], classes=int(data.y_train.max()) + 1)
