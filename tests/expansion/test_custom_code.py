"""What the code of custom layers does with their weights, and with the layers that they stand in."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import batch, difference, outputs, randomise

import keras_prune as kp

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

pytestmark = pytest.mark.core


class Halves(layers.Layer):
    """Multiplies by one part of a weight and adds another: slices that are not in a tuple."""

    def build(self, input_shape):
        self.table = self.add_weight(shape=(input_shape[-1] + 1, 8), name="table")

    def call(self, x):
        return ops.matmul(x, self.table[:-1]) + self.table[-1:][...][None][0]


class Counts(layers.Layer):
    def build(self, input_shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, x):
        self.calls.assign(self.calls + 1)
        return x + 0.0 * ops.tanh(self.calls)


class Doubles(layers.Layer):
    """Mixes samples as far as anybody knows, until it is written out."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(8, activation="relu")

    def call(self, x):
        return 2 * self.dense(x)


def model_of(*stack):
    return keras.Sequential([keras.Input((6,)), layers.Dense(6), *stack, layers.Dense(2, name="out")])


def test_a_weight_is_sliced_as_an_array_is():
    model = randomise(model_of(Halves()))
    made = kp.expand(model)
    assert not kp.expansion.report(made).whole
    assert difference(outputs(made, batch(model)), outputs(model, batch(model))) < 1e-6
    with pytest.raises(ValueError, match="Unsupported key"):  # elsewhere Keras is as it was
        keras.KerasTensor((4,))[:2]


def test_a_layer_that_changes_its_weights_stays_whole():
    made = kp.expand(model_of(Counts()))
    (whole,) = kp.expansion.report(made).whole
    assert (whole.kind, whole.reason) == ("Counts", "ValueError: it changes its weights when it is called")


def test_custom_layers_in_a_model_of_the_model_come_apart():
    model = randomise(model_of(keras.Sequential([Doubles(), layers.Dense(8)], name="inside"), Doubles()))
    x = np.random.default_rng(1).normal(size=(3, 6)).astype("float32")
    model(x)
    result = kp.prune_channels(model, 0.5)
    assert not result.report.unknown
    assert result.report.parameters_after < 0.45 * result.report.parameters_before


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a function of TensorFlow")
def test_a_gather_with_batch_dimensions():
    """Each row takes entries of its own."""

    class Gathers(layers.Layer):
        def call(self, x):
            places = ops.broadcast_to([[1, 0, 1, 5]], (ops.shape(x)[0], 4))
            return tf.gather(x, places, batch_dims=1)

    model = randomise(model_of(Gathers()))
    flat = kp.expand(model)
    assert [type(layer).__name__ for layer in flat.layers if "Gathers" in type(layer).__name__] == []
    x = batch(model)
    assert difference(outputs(flat, x), outputs(model, x)) <= 1e-6
