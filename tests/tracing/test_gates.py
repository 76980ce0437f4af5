"""Custom layers of several tensors, and functions of the backend: what goes through them."""

import keras
import pytest
from keras import layers, ops
from support.channel_zoo import check

pytestmark = pytest.mark.core
BACKEND = keras.backend.backend()


class Gate(layers.Layer):
    def call(self, x, gate):
        return x * ops.sigmoid(gate)


class OfList(layers.Layer):
    def call(self, both, training=False):
        return ops.where(both[0] > 0, both[0], 0.1 * both[1])


class Named(layers.Layer):
    def call(self, x, scale=None, shift=None):
        return x * ops.tanh(scale) + shift


class Mean(layers.Layer):
    """Each entry is scaled by all of the other tensor."""

    def call(self, x, y):
        return x * ops.mean(y, axis=-1, keepdims=True)


class Crossed(layers.Layer):
    def call(self, x, y):
        return x + ops.flip(y, axis=-1)


def functions_of_backend():
    """Functions of the backend that map entries alone, and some that do not."""
    match BACKEND:
        case "tensorflow":
            import tensorflow as tf

            alone = [
                lambda x: tf.nn.relu(x) * 2,
                lambda x: tf.clip_by_value(x, 0.0, 6.0),
                lambda x: tf.where(x > 0, x, 0.1 * x),
            ]
            mixing = [
                lambda x: x * tf.nn.softmax(x),
                lambda x: x / (1 + tf.reduce_max(tf.abs(x))),
                lambda x: tf.cumsum(x, axis=-1),
                lambda x: tf.clip_by_norm(x, 50.0),
                lambda x: x * tf.cast(tf.shape(x)[-1], "float32"),
            ]
        case "jax":
            from jax import nn
            from jax import numpy as jnp

            alone = [
                lambda x: nn.relu(x) * 2,
                lambda x: jnp.clip(x, 0.0, 6.0),
                lambda x: jnp.where(x > 0, x, 0.1 * x),
            ]
            mixing = [
                lambda x: x * nn.softmax(x),
                lambda x: x / (1 + jnp.max(jnp.abs(x))),
                lambda x: jnp.cumsum(x, axis=-1),
                lambda x: x * jnp.minimum(1.0, 50.0 / jnp.linalg.norm(x)),
                lambda x: x * jnp.arange(x.shape[-1]),
            ]
        case _:
            import torch

            alone = [
                lambda x: torch.relu(x) * 2,
                lambda x: torch.clamp(x, 0.0, 6.0),
                lambda x: torch.where(x > 0, x, 0.1 * x),
            ]
            mixing = [
                lambda x: x * torch.softmax(x, -1),
                lambda x: x / (1 + torch.max(torch.abs(x))),
                lambda x: torch.cumsum(x, -1),
                lambda x: x * torch.clamp(50.0 / torch.linalg.norm(x), max=1.0),
                lambda x: torch.nn.functional.layer_norm(x, x.shape[-1:]),
            ]
    return alone, mixing


def two(join):
    """Two layers whose outputs are joined."""
    inputs = keras.Input((6,))
    a, b = layers.Dense(8, name="a")(inputs), layers.Dense(8, name="b")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Dense(6, name="after")(join(a, b))))


def one(middle, units=8):
    inputs = keras.Input((6,))
    x = middle(layers.Dense(units, name="a")(inputs))
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Dense(6, name="after")(x)))


JOINS = {
    "gate": lambda a, b: Gate()(a, b),
    "list": lambda a, b: OfList()([a, b]),
    "named": lambda a, b: Named()(a, scale=b, shift=a),
}


@pytest.mark.parametrize("name", JOINS)
def test_channels_that_meet_are_removed_together(name):
    result, _ = check(two(JOINS[name]))
    group = next(iter(result.plan.removed))
    assert len(result.plan.removed[group]) == 4
    assert result.model.get_layer("a").units == result.model.get_layer("b").units == 4


@pytest.mark.parametrize("join", [Mean, Crossed])
def test_others_are_written_out(join):
    result, _ = check(two(lambda a, b: join()(a, b)))
    assert join.__name__ in result.report.expanded[0]
    assert not [layer for layer in result.model.layers if type(layer).__name__ == join.__name__]


def test_functions_of_the_backend_are_told_apart():
    alone, mixing = functions_of_backend()
    for function in alone:
        assert "a" in check(one(layers.Activation(function)))[0].plan.removed
    for function in mixing:
        assert "may mix channels" in check(one(layers.Activation(function)))[0].report.frozen["a"]
