"""What the examples in docstrings take for granted."""

import inspect

import keras
import numpy as np

import keras_prune as kp
from keras_prune import importance


def namespace():
    """What the examples take for granted: a small model, data, and the names of the package."""
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(6, activation="relu"), keras.layers.Dense(2, name="output")]
    )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 8)).astype("float32"), rng.normal(size=(64, 2)).astype("float32")
    names = {name: getattr(kp, name) for name in kp.__all__ if not inspect.ismodule(getattr(kp, name))}
    return {
        **names,
        "keras": keras,
        "kp": kp,
        "np": np,
        "model": model,
        "x": x,
        "y": y,
        "magnitude": importance.magnitude,
    }
