"""Layers in a layer that hold the user's unregistered objects and functions get fewer channels, and keep them."""

import keras
import pytest
from keras import layers, ops
from support.channel_zoo import check, randomise

import keras_prune as kp
from keras_prune._keras import flatten
from keras_prune.graph.configurations import reconfigure

pytestmark = pytest.mark.core


class Ours(keras.regularizers.Regularizer):
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * ops.sum(ops.square(x))

    def get_config(self):
        return {"factor": self.factor}


class Undescribed(keras.regularizers.Regularizer):
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * ops.sum(ops.square(x))


class Drawn(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return ops.ones(shape, dtype=dtype) * 0.1


class Small(keras.constraints.Constraint):
    def __call__(self, w):
        return ops.clip(w, -1, 1)


class Twice:
    def __call__(self, x):
        return ops.relu(x) * 2


def double(x):
    return ops.relu(x) * 2


def times(factor):
    return lambda x: ops.tanh(x) * factor


OBJECTS = {
    "regularizer": {"kernel_regularizer": Ours(0.1)},
    "undescribed": {"kernel_regularizer": Undescribed(0.1)},
    "initializer": {"kernel_initializer": Drawn()},
    "constraint": {"kernel_constraint": Small()},
    "function": {"activation": double},
    "closure": {"activation": times(3.0)},
    "object": {"activation": Twice()},
}
WRAPPERS = {
    "in time": (lambda held: layers.TimeDistributed(layers.Dense(8, **held), name="w"), (3, 6)),
    "twice in time": (
        lambda held: layers.TimeDistributed(layers.TimeDistributed(layers.Dense(8, **held)), name="w"),
        (3, 4, 6),
    ),
    "spectral": (lambda held: layers.SpectralNormalization(layers.Dense(8, **held), name="w"), (6,)),
    "cell": (lambda held: layers.RNN(layers.LSTMCell(8, **held), return_sequences=True, name="w"), (3, 6)),
    "cells": (
        lambda held: layers.RNN([layers.GRUCell(8), layers.LSTMCell(8, **held)], return_sequences=True, name="w"),
        (3, 6),
    ),
}
# Keras makes the layers of a `Bidirectional` from configurations itself, so it must know the classes then.
BOTH = {
    "both ways": lambda held: layers.Bidirectional(layers.SimpleRNN(8, return_sequences=True, **held), name="w"),
    "two ways": lambda held: layers.Bidirectional(
        layers.SimpleRNN(8, return_sequences=True, **held),
        backward_layer=layers.SimpleRNN(8, return_sequences=True, go_backwards=True, **held),
        name="w",
    ),
}


def model_of(made, shape):
    inputs = keras.Input(shape)
    x = made(layers.Dense(8, name="before")(inputs))
    return randomise(keras.Model(inputs, layers.Dense(2)(x)))


def checked(model, held):
    expected = [vars(part).get(key) for part in flatten(model.get_layer("w")) for key in held]
    result, _ = check(model, 0.5)
    small = result.model
    assert small.get_layer("before").units == 4
    found = [vars(part).get(key) for part in flatten(small.get_layer("w")) for key in held]
    assert [type(each) for each in found] == [type(each) for each in expected]
    given = [each for each in found if any(each is value for value in held.values())]
    assert len(given) == len([each for each in expected if any(each is value for value in held.values())])
    return small


@pytest.mark.parametrize(
    ("wrapper", "name"),
    [("in time", name) for name in OBJECTS]
    + [(wrapper, name) for wrapper in list(WRAPPERS)[1:] for name in ("regularizer", "closure", "object")],
)
def test_layers_in_a_layer_get_smaller(wrapper, name):
    make, shape = WRAPPERS[wrapper]
    held = OBJECTS[name]
    model = model_of(make(held), shape)
    small = checked(model, held)
    assert small.get_layer("w").count_params() < model.get_layer("w").count_params()
    if "regularizer" in str(held):
        assert len(small.losses) == len(model.losses) == 1


@pytest.mark.parametrize("name", ["regularizer", "function"])
@pytest.mark.parametrize("wrapper", BOTH)
def test_so_do_those_of_a_bidirectional(wrapper, name):
    held = OBJECTS[name]
    known = {each.__name__: each for each in (Ours, Drawn, Small, double)}
    with keras.saving.CustomObjectScope(known):
        model = model_of(BOTH[wrapper](held), (3, 6))
    small = checked(model, held)
    assert small.get_layer("w").count_params() < model.get_layer("w").count_params()


@pytest.mark.parametrize("wrapper", [*WRAPPERS, *BOTH])
def test_a_model_without_such_things_is_as_before(wrapper):
    make, shape = WRAPPERS.get(wrapper, (BOTH.get(wrapper), (3, 6)))
    model = model_of(make({"kernel_regularizer": "l2", "activation": "relu"}), shape)
    again = reconfigure(model.get_layer("w"), {})
    assert again.get_config() == model.get_layer("w").get_config()
    kp.prune_channels(model, 0.5)
