"""Values inside of a model, whatever was asked for before, held or not."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

from keras_prune.reconstruction.refitting import frontier
from keras_prune.reconstruction.refitting.frontier import Frontier

pytestmark = pytest.mark.core


def network():
    inputs = keras.Input((6,))
    x = first = layers.Dense(5, name="first")(inputs)
    x = layers.ReLU(name="relu")(x)
    x = layers.Dense(5, name="second")(x)
    x = layers.Add(name="add")([x, first])
    return randomise(keras.Model(inputs, layers.Dense(3, name="out")(x)))


def tensors(model):
    return {name: model.get_layer(name).output for name in ("first", "relu", "second", "add", "out")}


def expected(model, names, x):
    part = keras.Model(model.input, {name: tensors(model)[name] for name in names})
    return [ops.convert_to_numpy(part(x)[name]) for name in names]


@pytest.mark.parametrize("room", [0, 40, 1 << 20])
def test_values_are_those_of_the_model_in_any_order(room, rng, monkeypatch):
    monkeypatch.setattr(frontier, "HELD", room)
    model = network()
    found, batches = Frontier(model), [rng.normal(size=(size, 6)).astype("float32") for size in (4, 3)]
    for names in (["first"], ["second", "first"], ["add"], ["relu"], ["out", "add"]):
        for x in batches:
            values = found.values([tensors(model)[name] for name in names], x)
            for one, other in zip(values, expected(model, names, x), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_each_layer_runs_once_for_a_batch(rng, monkeypatch):
    model, x = network(), rng.normal(size=(4, 6)).astype("float32")
    found, runs, call = Frontier(model), [], layers.Dense.call

    def counted(self, inputs, **kwargs):
        if not isinstance(inputs, keras.KerasTensor):
            runs.append(self.name)
        return call(self, inputs, **kwargs)

    monkeypatch.setattr(layers.Dense, "call", counted)
    for name in ("first", "relu", "second", "add", "out"):
        found.values([tensors(model)[name]], x)
    assert runs == ["first", "second", "out"]


def test_changed_weights_count(rng):
    model, x = network(), rng.normal(size=(4, 6)).astype("float32")
    found = Frontier(model)
    found.values([tensors(model)["second"]], x)
    model.get_layer("second").bias.assign(np.ones(5))
    found.forget([model.get_layer("second")])
    (values,) = found.values([tensors(model)["add"]], x)
    np.testing.assert_allclose(values, expected(model, ["add"], x)[0], rtol=1e-5, atol=1e-5)


def test_batches_may_come_in_another_order(rng):
    """As a shuffled dataset gives them: what is held belongs to the samples, not to the number of the batch."""
    model, one, other = network(), *(rng.normal(size=(4, 6)).astype("float32") for _ in range(2))
    found = Frontier(model)
    for x in (one, other):
        found.values([tensors(model)["relu"]], x)
    for x in (other, np.concatenate([one[2:], other[:2]]), one):
        (values,) = found.values([tensors(model)["add"]], x)
        np.testing.assert_allclose(values, expected(model, ["add"], x)[0], rtol=1e-5, atol=1e-5)
