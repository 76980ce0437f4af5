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


class MaskedDense(layers.Layer):
    """Masks the kernel of a layer of Keras at each call, or a weight of its own."""

    def __init__(self, own, grows=False):
        super().__init__()
        self.own, self.grows = own, grows
        self.dense = None if own else layers.Dense(8, name="dense")

    def build(self, input_shape):
        self.mask = np.random.default_rng(3).integers(0, 2, (input_shape[-1], 8)).astype("float32")
        if self.own:
            self.kernel = self.add_weight(shape=(input_shape[-1], 8), name="kernel")
        else:
            self.dense.build(input_shape)

    def call(self, x):
        kernel = self.kernel if self.own else self.dense.kernel
        kernel.assign(kernel * self.mask + (ops.mean(x) if self.grows else 0.0))
        return ops.matmul(x, self.kernel) if self.own else self.dense(x)


@pytest.mark.parametrize("own", [False, True], ids=["of_keras", "its_own"])
def test_a_kernel_that_is_masked_at_each_call_is_multiplied_by_the_mask(own):
    model = randomise(model_of(MaskedDense(own)))
    held = next(weight for weight in model.weights if tuple(weight.shape) == (6, 8))
    values = ops.convert_to_numpy(held.value)
    made = kp.expand(model)
    assert np.array_equal(ops.convert_to_numpy(held.value), values)  # the user's model is not called
    assert not kp.expansion.report(made).whole
    x = batch(model)
    assert difference(outputs(made, x), outputs(model, x)) < 1e-6
    made.compile("sgd", "mse")
    made.fit(x, np.ones((len(x), 2)), verbose=0)
    trained = next(weight for weight in made.weights if tuple(weight.shape) == (6, 8) and weight.trainable)
    changed = ops.convert_to_numpy(trained.value) != values
    assert np.array_equal(changed.any(axis=1), model.layers[1].mask.any(axis=1))
    assert not changed[model.layers[1].mask == 0].any()
    small = kp.prune_channels(model, 0.5)
    assert small.report.parameters_after < 0.7 * small.report.parameters_before


@pytest.mark.parametrize("own", [False, True], ids=["of_keras", "its_own"])
def test_a_kernel_that_follows_the_inputs_stays_as_it_is(own):
    (whole,) = kp.expansion.report(kp.expand(model_of(MaskedDense(own, grows=True)))).whole
    assert whole.reason == "ValueError: it changes its weights when it is called"


def twice(function):
    """A decorator whose function closes over itself."""

    def wrapped(x, again=True):
        return wrapped(x, False) if again else function(x)

    return wrapped


class Recursive(layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(8, activation=twice(ops.tanh))

        def step(x, times):
            return x if times == 0 else step(self.dense(x), times - 1)

        self.step = step

    def call(self, x):
        return self.step(x, 1)


def test_functions_that_close_over_themselves_are_copied():
    model = randomise(model_of(Recursive()))
    made = kp.expand(model)
    x = batch(model)
    assert difference(outputs(made, x), outputs(model, x)) < 1e-6
    for weight in made.weights:
        weight.assign(np.zeros(weight.shape))
    assert any(np.any(ops.convert_to_numpy(weight.value)) for weight in model.weights)  # nothing is shared


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
