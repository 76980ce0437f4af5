"""Weights that two layers hold: copies would come apart, which must not happen silently."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_prune as kp

pytestmark = pytest.mark.core


def time_distributed():
    inner, inputs = layers.Dense(6, name="inner"), keras.Input((5, 6))
    return keras.Model(inputs, layers.TimeDistributed(inner, name="outer")(inputs) + inner(inputs)), "inner"


def cell():
    inner, inputs = layers.GRUCell(4, name="inner"), keras.Input((5, 4))
    return keras.Model(inputs, layers.RNN(inner)(inputs) + layers.RNN(inner)(inputs)), "inner"


def activation_with_weights():
    inner, inputs = layers.PReLU(name="inner"), keras.Input((4,))
    hidden = layers.Dense(4, activation=inner)(inputs)
    model = keras.Model(inputs, layers.Dense(4, activation=inner)(hidden))
    model(np.zeros((1, 4), "float32"))  # an activation is built when it is first called
    return model, "inner"


class Reversed(keras.Layer):
    """Multiplies by the transposed matrix of another layer."""

    def __init__(self, other):
        super().__init__()
        self.matrix = other.kernel

    def call(self, inputs):
        return keras.ops.matmul(inputs, keras.ops.transpose(self.matrix))


def tied():
    dense, inputs = layers.Dense(4, name="inner"), keras.Input((6,))
    hidden = dense(inputs)
    return keras.Model(inputs, Reversed(dense)(hidden)), "inner"


class InPlace(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(6, name="inner")
        self.outer = layers.TimeDistributed(self.inner, name="outer")

    def call(self, inputs):
        return self.outer(inputs) + self.inner(inputs)


@pytest.mark.parametrize("make", [time_distributed, cell, activation_with_weights, tied])
@pytest.mark.parametrize(
    "copy",
    [
        kp.wrap_pruning,
        kp.strip_pruning,
        lambda model: kp.prune_channels(model, 0.0),
        lambda model: kp.prune_layers(model, ratio=0.0),
    ],
    ids=["wrap", "strip", "channels", "layers"],
)
def test_a_weight_that_two_layers_hold_is_refused(make, copy):
    model, name = make()
    before = [np.array(weight) for weight in model.get_weights()]
    with pytest.raises(
        ValueError, match=rf"must belong to one layer.* Received: '.*{name}/.*', which '.*' and '.*' hold"
    ):
        copy(model)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_in_place_a_weight_gets_one_mask():
    model = InPlace()
    model(np.zeros((1, 5, 6), "float32"))
    with pytest.raises(ValueError, match=r"must get one mask.* Received: '.*kernel', which 'inner' and 'outer' hold"):
        kp.wrap_pruning(model)
    assert len(model.weights) == 2
    pruned = kp.prune_weights(kp.wrap_pruning(model, layers="inner"), 0.5)
    assert pruned is model
    with pytest.raises(ValueError, match="must get one mask"):
        kp.wrap_pruning(model, layers="outer")
    assert np.count_nonzero(keras.ops.convert_to_numpy(model.inner.kernel)) == 18


def test_in_place_the_advice_prunes_what_several_layers_hold():
    model = InPlace()
    x = np.random.default_rng(0).normal(size=(3, 5, 6)).astype("float32")
    model(x)
    with pytest.raises(ValueError, match="Leave the others out"):
        kp.wrap_pruning(model)
    pruned = kp.prune_weights(kp.wrap_pruning(model, layers=lambda layer: layer.name != "outer"), 0.5)
    kernel = keras.ops.convert_to_numpy(model.outer.layer.kernel)
    assert np.count_nonzero(kernel) == 18
    pruned.compile("sgd", "mse")
    pruned.fit(x, x, verbose=0)
    assert np.count_nonzero(keras.ops.convert_to_numpy(model.outer.layer.kernel)) == 18


def test_an_activation_without_weights_may_be_held_twice():
    relu, inputs = layers.LeakyReLU(), keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(3, activation=relu)(layers.Dense(4, activation=relu)(inputs)))
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    for copy in (kp.wrap_pruning(model), kp.prune_channels(model, 0.0).model):
        np.testing.assert_array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
