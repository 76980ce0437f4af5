"""The smaller model is made without drawing weights that are overwritten at once, and is none the worse for it."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import batch, check, difference, outputs, randomise, zeroed
from support.opaque import opaque

import keras_prune as kp
from keras_prune.channels.statistics import ChannelStatistics


@keras.saving.register_keras_serializable("test_channel_rebuild")
class Counted(keras.initializers.Initializer):
    drawn = 0

    def __call__(self, shape, dtype=None, **kwargs):
        Counted.drawn += 1
        return ops.ones(shape, dtype)


@keras.saving.register_keras_serializable("test_channel_rebuild")
class Offset(layers.Layer):
    """Makes a variable of an array, which Keras cannot put off, and reads it at once."""

    def build(self, input_shape):
        self.offset = keras.Variable(np.arange(input_shape[-1], dtype="float32"), trainable=False, name="offset")
        self.total = float(ops.sum(self.offset.value))

    def call(self, inputs):
        return ops.flip(opaque(inputs) + self.offset, -1)

    def compute_output_shape(self, shape):
        return shape


def mlp(middle=()):
    stack = [keras.Input((5,)), layers.Dense(8, activation="relu", kernel_initializer=Counted(), name="first")]
    return keras.Sequential([*stack, *middle, layers.Dense(6, name="second"), layers.Dense(2, name="out")])


@pytest.mark.core
def test_nothing_is_drawn_and_the_initializer_stays():
    model = randomise(mlp())
    before = Counted.drawn
    first = kp.prune_channels(model, 0.5).model.get_layer("first")
    assert Counted.drawn == before
    assert isinstance(first.kernel_initializer, Counted)
    ours, theirs = (layer.get_config() for layer in (first, model.get_layer("first")))
    assert ours == theirs | {"units": 4}


@pytest.mark.core
def test_variables_are_known_to_the_backend():
    small = kp.prune_channels(randomise(mlp()), 0.5).model
    kernel = ops.convert_to_numpy(small.get_layer("second").kernel)
    small.get_layer("second").kernel.assign(kernel + 1)  # its own memory: nobody else's changes
    assert np.array_equal(ops.convert_to_numpy(small.get_layer("second").kernel), kernel + 1)
    if keras.backend.backend() == "torch":
        parameters = {id(parameter) for parameter in small.parameters()}
        assert {id(variable.value) for variable in small.variables} == parameters


def test_frozen_layers_stay_frozen_and_are_filled():
    model = randomise(mlp([layers.BatchNormalization(name="norm")]))
    model.get_layer("norm").trainable = False
    small = kp.prune_channels(model, 0.5).model
    norm = small.get_layer("norm")
    assert not norm.trainable_variables
    assert np.isin(
        ops.convert_to_numpy(norm.moving_mean), ops.convert_to_numpy(model.get_layer("norm").moving_mean)
    ).all()


@pytest.mark.parametrize("nested", [False, True])
def test_layers_that_need_their_variables_at_once(nested):
    model = mlp([Offset(name="offset")])
    if nested:
        inputs = keras.Input((5,))
        model = keras.Model(inputs, layers.Dense(3, name="last")(model(layers.Dense(5, name="wide")(inputs))))
    result, _ = check(model)
    assert "no rule" in str(result)
    assert "second" in "".join(result.plan.removed)


@pytest.mark.core
def test_statistics_of_the_data_that_a_normalization_learnt():
    norm = layers.Normalization(name="norm")
    norm.adapt(np.random.default_rng(0).normal([1, 2, 3], [4, 5, 6], (50, 3)).astype("float32"))
    model = keras.Sequential([keras.Input((3,)), norm, layers.Dense(8, name="dense"), layers.Dense(2, name="out")])
    result, _ = check(model)  # which gives it other statistics
    norm.finalize_state()
    assert result.model.get_layer("dense").units == 4
    assert float(ops.max(ops.abs(result.model.get_layer("norm").mean - norm.mean))) == 0


def test_stateful_layers():
    inputs = keras.Input(batch_shape=(2, 4, 3))
    x = layers.Conv1D(6, 2, name="conv")(inputs)
    x = layers.LSTM(5, stateful=True, name="lstm")(x)
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(layers.Dense(6, name="dense")(x))))
    result = kp.prune_channels(model, 0.5)
    assert result.model.get_layer("dense").units == 3
    expected = zeroed(model, result.plan)  # before any of them is called, which changes its state
    x = batch(model)
    assert difference(outputs(result.model, x), outputs(expected, x)) <= 1e-5


def test_values_of_another_shape_are_refused():
    from keras_prune import _keras

    with pytest.raises(ValueError, match=r"has shape \(3,\). Received: \(4,\)"), keras.StatelessScope():
        _keras.set_value(keras.Variable("zeros", shape=(3,)), np.ones(4))


def test_a_layer_in_two_models_is_measured_in_both():
    shared = layers.Dense(6, activation="relu", name="shared")
    parts = []
    for name in ("first", "second"):
        inputs = keras.Input((6,))
        parts.append(keras.Model(inputs, shared(inputs), name=name))
    inputs = keras.Input((5,))
    x = layers.Dense(6, name="stem")(inputs)
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(parts[1](parts[0](x)))))
    x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    analysis = kp.analyze_channels(model)
    (binding,) = [
        each for each in analysis.trace.found.bindings.values() if each.weight is shared.kernel and each.role == "in"
    ]
    given = [ops.convert_to_numpy(model.get_layer("stem")(x))]
    given.append(ops.convert_to_numpy(shared(given[0])))
    measured = ChannelStatistics(analysis, model, x).activations(binding)
    np.testing.assert_allclose(
        measured.magnitude, np.mean([np.abs(each).mean(axis=0) for each in given], axis=0), rtol=1e-5
    )
