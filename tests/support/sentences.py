"""Sentences of random words, with padding behind them, and small models that read them."""

import keras
import numpy as np
from keras import layers, ops
from support.channel_zoo import randomise

WORDS, STEPS, WIDTH = 20, 10, 8


def sentences(count=64, seed=0):
    """Ids of words, 0 for none."""
    rng = np.random.default_rng(seed)
    words = rng.integers(1, WORDS, (count, STEPS))
    return np.where(np.arange(STEPS) < rng.integers(3, STEPS, (count, 1)), words, 0).astype("int32")


@keras.saving.register_keras_serializable("tests", "SentenceBlock")
class Block(layers.Layer):
    """A block of a Transformer as people write it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.attention = layers.MultiHeadAttention(2, 4, name="attention")
        self.up = keras.Sequential([layers.Dense(16, activation="relu", name="up"), layers.Dense(WIDTH, name="down")])
        self.before, self.between = layers.LayerNormalization(), layers.LayerNormalization()

    def build(self, shape):
        self.attention.build(shape, shape)
        for each in (self.up, self.before, self.between):
            each.build(shape)

    def call(self, x):
        y = self.before(x)
        x = x + self.attention(y, y)
        return x + self.up(self.between(x))


def functional(x):
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, name="attention")(y, y)])
    y = layers.LayerNormalization()(x)
    return layers.Add()([x, layers.Dense(WIDTH, name="down")(layers.Dense(16, activation="relu", name="up")(y))])


def mean(x):
    return layers.Dense(3, name="head")(layers.GlobalAveragePooling1D()(x))


def flat(x):
    return layers.Dense(3, name="head")(layers.Flatten()(x))


def each(x):
    return layers.Dense(5, name="head")(x)


def windows(x):
    return layers.Dense(3, name="head")(layers.GlobalMaxPooling1D()(layers.Conv1D(4, 3)(x)))


def reader(body=functional, end=mean, mask=True):
    """A model that reads sentences."""
    given = keras.Input((STEPS,), dtype="int32")
    x = layers.Embedding(WORDS, WIDTH, mask_zero=mask, name="table")(given)
    model = keras.Model(given, end(body(x)))
    randomise(model)
    return model


def with_other_padding(model):
    """The same model, of which the vector of the word 0 is another one."""
    other = type(model).from_config(model.get_config())
    other.set_weights(model.get_weights())
    table = np.array(ops.convert_to_numpy(model.get_layer("table").embeddings))
    table[0] = 50 * np.random.default_rng(9).normal(size=table[0].shape)
    other.get_layer("table").embeddings.assign(table)
    return other
