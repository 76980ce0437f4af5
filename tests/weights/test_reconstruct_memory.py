"""What reconstruction holds: the equations of one layer and one batch, however many there are of both."""

import tracemalloc

import keras
import numpy as np
import pytest
from keras import layers

import keras_prune as kp

pytestmark = pytest.mark.core

WIDTH, BATCH = 128, 64
ARRAY = 8 * WIDTH**2  # bytes of a square array in float64


def chain(count):
    parts = [layers.Dense(WIDTH, activation="relu") for _ in range(count)]
    return keras.Sequential([keras.Input((WIDTH,)), *parts])


def peak(action):
    """Bytes of NumPy's arrays, at most; the tensors of TensorFlow, JAX and PyTorch are not among them."""
    tracemalloc.start()
    action()
    _, found = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found


def reconstruct(model, x):
    kp.prune_weights(model, 0.75, importance="magnitude", reconstruct=x)


@pytest.fixture(scope="module")
def few():
    x = np.random.default_rng(0).normal(size=(3 * BATCH, WIDTH)).astype("float32")
    model = chain(2)
    reconstruct(model, x)  # much is loaded in the first call
    return x, peak(lambda: reconstruct(model, x))


def test_layers_are_solved_one_after_the_other(few):
    """Of six more layers there are masks and copies of weights; their equations would be at least four arrays each."""
    x, two = few
    model = chain(8)
    eight = peak(lambda: reconstruct(model, x))
    assert eight - two < 6 * 2 * ARRAY


def test_data_are_read_batch_by_batch(few):
    _, two = few
    model = chain(2)
    x = np.random.default_rng(0).normal(size=(30 * BATCH, WIDTH)).astype("float32")
    assert peak(lambda: reconstruct(model, x)) - two < x.nbytes / 2
