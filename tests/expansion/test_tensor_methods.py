"""Custom code that calls methods of its backend's tensors, and functions whose arguments Keras writes otherwise."""

import keras
import pytest
from keras import layers, ops
from support.channel_zoo import batch, difference, outputs, randomise

import keras_prune as kp

pytestmark = pytest.mark.core
BACKEND = keras.backend.backend()


def of_torch():
    import torch

    def heads(x):
        x = x.view(x.size(0), x.size(1), 2, 4).transpose(1, 2).contiguous()
        return x.permute(0, 2, 1, 3).reshape(x.shape[0], -1, 8)

    def statistics(x):
        centred = x - x.mean(dim=-1, keepdim=True)
        return centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5)

    def parts(x):
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first.sigmoid() * second, second.clamp(min=0.0)], dim=-1)

    def spread(x):
        pooled = x.mean(1).unsqueeze(1).expand(-1, x.shape[1], -1)
        return x.to(torch.float32).masked_fill(pooled.abs() > 5, 0.0) + pooled.repeat(1, 1, 1).type_as(x)

    def scores(x):
        return torch.einsum("bic, bjc -> bij", x, x).softmax(dim=-1).matmul(x.mT.mT)

    return [heads, statistics, parts, spread, scores]


def of_jax():
    import jax.numpy as jnp

    def heads(x):
        x = x.reshape(x.shape[0], x.shape[1], 2, 4).transpose(0, 2, 1, 3)
        return x.transpose((0, 2, 1, 3)).reshape((x.shape[0], -1, 8))

    def statistics(x):
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred.astype(jnp.float32) / jnp.sqrt(centred.var(-1, keepdims=True) + 1e-5)

    def parts(x):
        first, second = jnp.split(x, 2, axis=-1)
        return jnp.concatenate([first * second, second.clip(0, 1)], axis=-1)

    def scores(x):
        return jnp.einsum("bic,bjc->bij", x, x) @ x * x.sum(1, keepdims=True) / x[0].size

    return [heads, statistics, parts, scores]


def of_tensorflow():
    import tensorflow as tf

    def sizes(x):
        _, length, width = x.shape.as_list()
        assert x.shape.rank == x.shape.ndims == len(x.get_shape())
        return tf.reshape(tf.reshape(x, [tf.shape(x)[0], length * width]), [-1, length, width])

    def large_letters(x):
        scores = tf.einsum("bqC, bkC -> bqk", x, x)
        return tf.einsum("bqk,bkC->bqC", tf.nn.softmax(scores, -1), x)

    return [sizes, large_letters]


CASES = {"torch": of_torch, "jax": of_jax, "tensorflow": of_tensorflow}.get(BACKEND, list)()


class Custom(layers.Layer):
    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function
        self.dense = layers.Dense(8, name="dense")

    def call(self, x):
        return self.function(self.dense(x))


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
def test_methods_of_tensors_are_written_out(function):
    model = randomise(keras.Sequential([keras.Input((4, 6)), Custom(function), layers.Dense(2, name="out")]))
    made = kp.expand(model)
    assert not kp.expansion.report(made).whole
    x = batch(model)
    assert difference(outputs(made, x), outputs(model, x)) < 1e-5
    assert kp.prune_channels(model, 0.5).report.parameters_after < model.count_params()


def test_what_no_tensor_has_is_no_attribute_and_keras_is_as_it_was():
    def wrong(x):
        return x.no_such_method()

    model = keras.Sequential([keras.Input((4, 6)), layers.Dense(4)])
    kp.expand(keras.Sequential([model, layers.Dense(2)]))
    tensor = keras.KerasTensor((2, 3))
    assert type(tensor.shape) is tuple
    assert not hasattr(tensor, "view")
    assert tuple(tensor.reshape((3, 2)).shape) == (3, 2)
    with pytest.raises(AttributeError):
        wrong(tensor)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="functions of TensorFlow")
def test_functions_of_tensorflow_as_activations_and_attributes():
    """They close over themselves."""
    import tensorflow as tf

    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(8, activation=tf.nn.gelu)
            self.shortcut = tf.identity

        def call(self, x):
            return self.shortcut(self.dense(x))

    model = randomise(keras.Sequential([keras.Input((6,)), Block(), layers.Dense(2, name="out")]))
    result = kp.prune_channels(model, 0.5)
    assert not result.report.unknown
    assert result.report.parameters_after < 0.6 * result.report.parameters_before


class Positions(layers.Layer):
    """A vector for each position, as KerasHub adds it."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer="normal", name="table")

    def call(self, x):
        return x + ops.broadcast_to(self.table, ops.shape(x))


def test_shapes_of_tensors_are_kept_in_configurations():
    inputs = keras.Input((6, 8))
    model = keras.Model(inputs, layers.Dense(2)(Positions()(layers.Dense(8)(inputs))))
    randomise(model)
    made = kp.expand(model)
    assert kp.expansion.report(made).whole == ()
    x = batch(model)
    assert keras.Model.from_config(made.get_config()).count_params() == made.count_params()
    assert difference(outputs(made, x), outputs(model, x)) < 1e-5
