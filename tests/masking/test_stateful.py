"""What is measured on data says nothing about the memory of stateful layers, and leaves that memory alone."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.zoo import BACKEND, value

import keras_prune as kp
from keras_prune._keras import flatten
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core


def recurrent(stateful=True):
    """A model that takes eight samples at a time, as `stateful` asks for, and remembers something already."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((5, 3), batch_size=8),
            layers.LSTM(6, stateful=stateful, return_sequences=True),
            layers.BatchNormalization(),
            layers.Bidirectional(layers.GRU(4, stateful=stateful)),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    for state in states(model):
        state.assign(ops.ones(state.shape))
    return model


def states(model):
    return [state for layer in flatten(model) if isinstance(layer, layers.RNN) for state in layer.states or []]


def assert_remembered(model):
    found = states(model)
    assert len(found) == 4
    for state in found:
        assert (value(state.value) == 1).all()
    assert all(layer.stateful for layer in flatten(model) if isinstance(layer, layers.RNN | layers.Bidirectional))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 5, 3)).astype("float32"), rng.integers(0, 2, 40)


@pytest.mark.parametrize("importance", ["wanda", "taylor"])
def test_weights_are_measured_as_without_states(importance, data):
    model, plain = recurrent(), recurrent(stateful=False)
    plain.set_weights(model.get_weights())
    found, expected = (kp.prune_weights(each, 0.5, importance=importance, data=data) for each in (model, plain))
    for one, other in zip(find_masked(found), find_masked(expected), strict=True):
        np.testing.assert_array_equal(one.kept(), other.kept())
    assert_remembered(model)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras 3.15 cannot train stateful layers on PyTorch, pruned or not")
def test_states_stay_as_they_are_when_fit_measures(data):
    class Updates(kp.PruningSchedule):
        def on_train_batch_end(self, batch, logs=None):
            for state in states(self.model):
                state.assign(ops.ones(state.shape))
            super().on_train_batch_end(batch, logs)
            assert_remembered(self.model)

    model = kp.wrap_pruning(recurrent())
    model.compile("sgd", "sparse_categorical_crossentropy")
    schedule = Updates(kp.ConstantSparsity(0.5), importance="taylor", frequency=2)
    model.fit(*data, batch_size=8, verbose=0, callbacks=[schedule])
    assert kp.summary(model).prunable_sparsity == pytest.approx(0.5, abs=0.01)


def test_states_stay_as_they_are_when_channels_and_layers_are_measured(data):
    model = recurrent()
    small = kp.prune_channels(model, 0.5, importance="taylor", data=data, recalibrate=data[0]).model
    assert_remembered(model)
    assert [state.shape for state in states(small)] == [(8, 3), (8, 3), (8, 2), (8, 2)]
    assert all((value(state.value) == 0).all() for state in states(small))  # new, although it ran to recalibrate
    kp.prune_layers(model, ratio=0.3, importance="block_influence", data=data[0])
    assert_remembered(model)
