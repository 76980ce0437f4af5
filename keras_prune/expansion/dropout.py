"""Custom layers that are dropout: the identity at inference, random zeros in training."""

from typing import Any

import keras
import numpy as np
from keras import ops

_SAMPLES = 2048
_SIZE = 3  # of every other axis


def as_dropout(layer: keras.Layer, rank: int) -> keras.layers.Dropout | None:
    """Return Keras's own layer that does what this one is seen to do; None if it does something else.

    Stochastic depth (Huang et al. 2016) is dropout of whole samples: with a noise shape of ones behind the first.

    Args:
        layer: A layer that is called with one tensor.
        rank: The number of axes of that.
    """
    if any(keras.backend.is_float_dtype(each.dtype) for each in layer.variables):
        return None
    ones = np.ones((_SAMPLES, *[_SIZE] * (rank - 1)), "float32")
    drawn = np.random.default_rng(0).normal(size=ones.shape).astype("float32")
    try:
        kept, noise, again = (_run(layer, *each) for each in ((drawn, False), (ones, True), (drawn, True)))
    except Exception:  # whatever its class raises
        return None
    if not np.array_equal(kept, drawn) or noise.shape != ones.shape:
        return None
    values = np.unique(noise)
    ratios = np.unique(np.round(again / drawn, 3))
    if len(values) != 2 or values[0] != 0 or values[1] <= 1 or not np.allclose(ratios, values, atol=2e-3):
        return None
    shape = [None, *(1 if (noise == noise.take([0], axis=axis)).all() else None for axis in range(1, rank))]
    together = None if all(size is None for size in shape) else tuple(shape)
    return keras.layers.Dropout(float(1 - 1 / values[1]), noise_shape=together, name=layer.name)


def _run(layer: keras.Layer, inputs: np.ndarray, training: bool) -> np.ndarray:
    with keras.StatelessScope():  # its seed stays where it was
        found: Any = layer(ops.convert_to_tensor(inputs), training=training)
    return np.asarray(ops.convert_to_numpy(found))
