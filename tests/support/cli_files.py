"""Small files for the command line: models, data, and what is no model at all."""

import json

import keras
import numpy as np
from keras import layers

from keras_prune.cli import main

CLASSES = 4
SHAPE = (6, 6, 1)


def cnn():
    model = keras.Sequential(
        [
            keras.Input(SHAPE, name="image"),
            layers.Conv2D(8, 3, activation="relu", name="conv1"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(8, 3, activation="relu", name="conv2"),
            layers.Flatten(name="flatten"),
            layers.Dense(CLASSES, activation="softmax", name="dense"),
        ],
        name="cnn",
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def residual():
    inputs = keras.Input((8,))
    hidden = layers.Dense(8, activation="relu", name="first")(inputs)
    for name in ("block1", "block2"):
        branch = layers.Dense(8, activation="relu", name=f"{name}_dense")(hidden)
        hidden = layers.Add(name=f"{name}_sum")([hidden, branch])
    return keras.Model(inputs, layers.Dense(2, name="last")(hidden), name="residual")


def two_in_two_out():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    both = layers.Concatenate()([a, b])
    outputs = {"p": layers.Dense(2, name="p")(both), "q": layers.Dense(1, name="q")(both)}
    return keras.Model({"a": a, "b": b}, outputs, name="two")


def images(count, seed):
    rng = np.random.default_rng(seed)
    return rng.random((count, *SHAPE), "float32"), rng.integers(0, CLASSES, count)


def write_data(folder):
    """`train.npz` with keys of its own for each split, and `test.npz` with `x` and `y`."""
    (x_train, y_train), (x_test, y_test) = images(64, 1), images(32, 2)
    np.savez(folder / "train.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    np.savez(folder / "test.npz", x=x_test, y=y_test)


def no_constants(name):
    raise ValueError(f"JSON has no {name}")


def strict_json(text):
    """Reads JSON as the standard has it, without NaN and infinities."""
    return json.loads(text, parse_constant=no_constants)


def write(folder):
    """Two models and the data for the first of them."""
    cnn().save(folder / "model.keras")
    residual().save(folder / "residual.keras")
    write_data(folder)
    return folder


def runner(capsys):
    """A function that runs a command line, and returns exit code, standard output and standard error."""

    def command(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return command
