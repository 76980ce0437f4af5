"""Small models and layers that tests share."""

import keras
import numpy as np
from keras import layers

BACKEND = keras.backend.backend()


def mlp(units=(16, 8), inputs=12, outputs=4):
    hidden = [layers.Dense(width, activation="relu", name=f"hidden{i}") for i, width in enumerate(units)]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(outputs, name="output")])


def cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu", name="conv1"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(name="flatten"),
            layers.Dense(6, name="dense"),
        ],
        name="cnn",
    )


def two_in_two_out():
    """Functional: two inputs, two outputs, a shared layer and an operation."""
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    shared = layers.Dense(5, activation="relu", name="shared")
    both = keras.ops.concatenate([shared(a), shared(b)], axis=-1)
    first = layers.Dense(3, name="first")(both)
    second = layers.Dense(2, name="second")(both * 2.0)
    return keras.Model({"a": a, "b": b}, {"x": first, "y": second}, name="two")


def nested():
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, name="dense")], name="encoder")
    deeper_in = keras.Input((5,))
    deeper = keras.Model(deeper_in, layers.Dense(4, name="dense")(deeper_in), name="decoder")
    inputs = keras.Input((6,))
    hidden = inner(inputs)
    return keras.Model(inputs, layers.Dense(3, name="dense")(deeper(hidden) + deeper(hidden * 0.5)), name="outer")


@keras.saving.register_keras_serializable(package="tests")
class Block(layers.Layer):
    """A layer made of layers, without a `build`, as tutorials write them."""

    def __init__(self, units=6, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.attention = layers.MultiHeadAttention(2, 3)
        self.dense = layers.Dense(units)
        self.norm = layers.LayerNormalization()

    def call(self, x, training=False):
        return self.norm(x + self.dense(self.attention(x, x, training=training)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = layers.Dense(units, activation="relu", name="first")
        self.blocks = [layers.Dense(units, name="block0"), layers.Dense(units, name="block1")]
        self.last = layers.Dense(3, name="last")

    def call(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)

    def get_config(self):
        return {"units": self.units, "name": self.name}


def subclassed(inputs=6):
    model = Subclassed()
    model(np.zeros((1, inputs), "float32"))
    return model


def batch(model, size=16, seed=0):
    """Random inputs of a model, in the structure and types that it takes."""
    rng = np.random.default_rng(seed)

    def draw(tensor):
        shape = (size, *tensor.shape[1:])
        if "int" in str(tensor.dtype):
            return rng.integers(0, 10, shape).astype("int32")
        return rng.normal(size=shape).astype("float32")

    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.map_structure(draw, inputs)


def predict(model, x):
    return [np.asarray(y) for y in keras.tree.flatten(model.predict(x, verbose=0))]


def regression(model, size=64, seed=0):
    """Inputs and targets to train a model of one input and one output on."""
    x = batch(model, size, seed)
    y = np.random.default_rng(seed + 1).normal(size=(size, *model.output_shape[1:])).astype("float32")
    return x, y


def value(x):
    return keras.ops.convert_to_numpy(x)
