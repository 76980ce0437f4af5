"""The two networks that the benchmarks train, for Keras 3 and for tf_keras alike: the module is an argument.

The CNN is small, so that what a callback costs shows; the MLP is wide, so that what a mask costs shows.
"""

import functools
from typing import Any

import numpy as np

BATCH = 128
NETWORKS = ("cnn", "mlp")


def build(keras: Any, network: str, smoke: bool = False) -> Any:
    """Returns one of the networks, compiled.

    Args:
        keras: The module `keras` or `tf_keras`.
        network: `"cnn"` (225,034 parameters) or `"mlp"` (784-2048-2048-10).
        smoke: Whether to build it tiny instead, to see whether everything runs.
    """
    layers = keras.layers
    if network == "cnn":
        first, second, dense = (4, 8, 16) if smoke else (32, 64, 128)
        stack = [
            layers.Input((28, 28, 1)),
            layers.Conv2D(first, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(second, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(dense, activation="relu"),
        ]
    else:
        width = 64 if smoke else 2048
        stack = [layers.Input((784,)), *(layers.Dense(width, activation="relu") for _ in range(2))]
    model = keras.Sequential([*stack, layers.Dense(10, activation="softmax")])
    compile_model(model)
    return model


def compile_model(model: Any) -> None:
    """Compiles a model as all models here are: pruning makes a new one, which must train like the dense one."""
    model.compile("adam", "sparse_categorical_crossentropy")


@functools.cache
def random_data(network: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels for epochs of so many steps. Noise will do: what a step costs does not depend on it."""
    rng = np.random.default_rng(0)
    shape = (28, 28, 1) if network == "cnn" else (784,)
    x = rng.random((steps * BATCH, *shape), dtype=np.float32)
    return x, rng.integers(0, 10, len(x))
