"""`compensate=` of models that are no mere chains: nested, written out, with ties; three backends agree."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

import keras_prune as kp
from keras_prune._keras import replace_variable
from keras_prune.channels.plan import ChannelPlan
from keras_prune.reconstruction.refitting import refit
from keras_prune.reconstruction.refitting.layer_fit import Settings

pytestmark = pytest.mark.core


def values(model, x):
    return ops.convert_to_numpy(model.predict_on_batch(x)).astype("float64")


def inputs_of(shape, size=60, seed=0):
    return np.random.default_rng(seed).normal(size=(size, *shape)).astype("float32")


def array(variable):
    return np.array(ops.convert_to_numpy(variable.value)).astype("float64")


def copy_half(layer):
    for weight in (layer.kernel, layer.bias):
        copied = np.array(ops.convert_to_numpy(weight.value))
        half = copied.shape[-1] // 2
        copied[..., half:] = copied[..., :half]
        weight.assign(copied)


def compensated(model, removed, x):
    """The smaller model, whose outputs are those of the original on other data, and the records by layer."""
    plan = ChannelPlan(kp.analyze_channels(model).fingerprint, removed)
    result, fresh = kp.prune_channels(model, plan=plan, compensate=x), inputs_of(x.shape[1:], seed=1)
    sliced = kp.prune_channels(model, plan=plan).model
    assert np.abs(values(sliced, fresh) - values(model, fresh)).max() > 0.01
    np.testing.assert_allclose(values(result.model, fresh), values(model, fresh), atol=1e-5)
    return {row.layer: row for row in result.report.compensated}


def test_a_model_inside_that_is_used_twice():
    """One system of equations has the rows of both uses."""
    inside = keras.Sequential([keras.Input((8,)), layers.Dense(3, activation="tanh", name="reader")], name="inside")
    inputs = keras.Input((5,))
    first = layers.Dense(8, activation="tanh", name="first")
    x = layers.Concatenate()([inside(first(inputs)), inside(first(ops.square(inputs)))])
    model = randomise(keras.Model(inputs, x))
    copy_half(first)
    found = compensated(model, {"first": (4, 5, 6, 7)}, inputs_of((5,)))
    assert [(row.layer, row.rows) for row in found.values()] == [("inside/reader", 120)]


def test_a_model_inside_that_reads_what_it_made():
    """Values are computed from the middle of a model, where one of its layers is used again later."""
    inside = keras.Input((6,))
    narrow = layers.Dense(4, "relu", name="narrow")(inside)
    inner = keras.Model(inside, layers.Dense(6, name="wide")(narrow), name="inner")
    inputs = keras.Input((5,))
    x = layers.Dense(6, name="first")(inputs)
    x = x + inner(ops.tanh(inner(x)))
    model = randomise(keras.Model(inputs, layers.Dense(3, name="out")(x)))
    x, fresh = inputs_of((5,), 200), inputs_of((5,), seed=1)
    sliced, result = kp.prune_channels(model, 0.25), kp.prune_channels(model, 0.25, compensate=x)
    errors = [np.square(values(each.model, fresh) - values(model, fresh)).sum() for each in (sliced, result)]
    assert errors[1] < errors[0]
    assert {row.layer for row in result.report.compensated} == {"inner/narrow", "inner/wide", "out"}


@keras.saving.register_keras_serializable("test_compensate_models")
class Product(layers.Layer):
    """A product with a weight, in code of its own."""

    def __init__(self, units, way, bias=True, **kwargs):
        super().__init__(**kwargs)
        self.units, self.way, self.bias = units, way, bias

    def build(self, shape):
        self.table = self.add_weight(shape=(shape[-1], self.units), name="table")
        self.shift = self.add_weight(shape=(self.units,), name="shift") if self.bias else None

    def call(self, x):
        found = {
            "matmul": lambda: ops.matmul(x, self.table),
            "einsum": lambda: ops.einsum("btd,de->bte", x, self.table),
            "dot": lambda: ops.dot(x, self.table),
            "turned": lambda: ops.matmul(x, ops.transpose(ops.transpose(self.table))),
        }[self.way]()
        return found + self.shift if self.bias else found

    def get_config(self):
        return {**super().get_config(), "units": self.units, "way": self.way, "bias": self.bias}


@pytest.mark.parametrize(("way", "bias"), [("matmul", True), ("matmul", False), ("einsum", True), ("dot", True)])
def test_products_in_custom_layers(way, bias):
    inputs = keras.Input((4, 3))
    first = layers.Dense(8, activation="tanh", name="first")
    model = randomise(keras.Model(inputs, ops.relu(Product(3, way, bias, name="own")(first(inputs)))))
    copy_half(first)
    found = compensated(model, {"first": (4, 5, 6, 7)}, inputs_of((4, 3)))
    assert list(found) == ["own__table"]
    assert found["own__table"].inputs == 4 + bias


def test_products_of_what_is_made_of_a_weight_are_named():
    inputs = keras.Input((4, 3))
    x = layers.Dense(8, activation="tanh", name="first")(inputs)
    model = randomise(keras.Model(inputs, Product(3, "turned", name="own")(x)))
    result = kp.prune_channels(model, ratios={"first": 0.5}, compensate=inputs_of((4, 3)))
    notes = {row.layer: row.note for row in result.report.compensated}
    assert notes == {"own__table": "no fit for a Weight: left as sliced"}


def test_a_subclassed_model():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.reader = layers.Dense(8, activation="tanh", name="first"), layers.LSTM(3, name="reader")

        def call(self, x):
            return self.reader(self.first(x))

    model = Own()
    model(inputs_of((4, 3)))
    randomise(model)
    copy_half(model.first)
    assert list(compensated(model, {"first": (4, 5, 6, 7)}, inputs_of((4, 3)))) == ["reader/kernel"]


def test_a_weight_of_two_layers_is_named_and_left():
    inputs = keras.Input((6,))
    one, other = layers.Dense(6, name="one"), layers.Dense(6, name="other")
    x = layers.Dense(6, activation="relu", name="first")(inputs)
    outputs = layers.Add()([one(x), other(ops.tanh(x))])
    replace_variable(other, other.kernel, one.kernel)
    model = keras.Model(inputs, outputs)
    result = kp.prune_channels(model, ratios={"first": 0.5}, compensate=inputs_of((6,)))
    notes = {row.layer: row.note for row in result.report.compensated}
    assert notes == dict.fromkeys(("one", "other"), "another layer has the same weight")


def test_a_model_with_masks_is_refused_with_what_to_do():
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu", name="first")(inputs)
    model = kp.prune_weights(keras.Model(inputs, layers.Dense(3, name="out")(x)), 0.5)
    with pytest.raises(ValueError, match=r"remove them with `strip_pruning` first, and wrap the result again"):
        kp.prune_channels(model, 0.5, compensate=inputs_of((6,)))


def ridge_fit(columns, wanted, start, ridge):
    """The weights and bias of least squares, held to `start`."""
    means, aims = columns.mean(axis=0), wanted.mean(axis=0)
    gram = (columns - means).T @ (columns - means)
    rest = (columns - means).T @ (wanted - aims) - gram @ start
    weights = start + np.linalg.solve(gram + ridge * np.trace(gram) / len(gram) * np.eye(len(gram)), rest)
    return weights, aims - means @ weights


def test_backends_agree_with_numpy(monkeypatch):
    """The whole of it once more in NumPy; each backend is as near to that as float32 allows."""
    monkeypatch.setattr(refit, "Settings", lambda: Settings(ridge=1e-3))
    inputs = keras.Input((4, 3))
    x = layers.Dense(8, activation="tanh", name="first")(inputs)
    x = layers.SimpleRNN(4, name="recurrent")(x)
    model = keras.Model(inputs, layers.Dense(2, name="out")(x))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.4, weight.shape))
    data, fresh = inputs_of((4, 3), 80), inputs_of((4, 3), seed=1)
    plan = ChannelPlan(kp.analyze_channels(model).fingerprint, {"first": (1, 2, 5), "recurrent": (3,)})
    result = kp.prune_channels(model, plan=plan, compensate=data)

    first, cell, out = model.get_layer("first"), model.get_layer("recurrent").cell, model.get_layer("out")
    kernel, states, bias = array(cell.kernel), array(cell.recurrent_kernel), array(cell.bias)
    kept, units = [0, 3, 4, 6, 7], [0, 1, 2]

    def run(x, kernel, states, bias):
        found = [np.zeros((len(x), len(states)))]
        for step in range(x.shape[1]):
            found.append(np.tanh(x[:, step] @ kernel + found[-1] @ states + bias))
        return np.stack(found, axis=1)  # what it begins with, and after each step

    hidden, others = (np.tanh(each @ array(first.kernel) + array(first.bias)) for each in (data, fresh))
    whole = run(hidden, kernel, states, bias)
    columns, wanted = hidden[..., kept].reshape(-1, 5), (hidden @ kernel[:, units]).reshape(-1, 3) + bias[units]
    fitted, shift = ridge_fit(columns, wanted, kernel[np.ix_(kept, units)], 1e-3)
    before = whole[:, :-1].reshape(-1, 4)
    wanted = before @ states[:, units] + shift
    own, shift = ridge_fit(before[:, units], wanted, states[np.ix_(units, units)], 1e-3)
    small = run(hidden[..., kept], fitted, own, shift)[:, -1]
    last, offset = ridge_fit(small, whole[:, -1] @ array(out.kernel) + array(out.bias), array(out.kernel)[units], 1e-3)
    expected = run(others[..., kept], fitted, own, shift)[:, -1] @ last + offset
    assert [row.layer for row in result.report.compensated] == ["recurrent/kernel", "recurrent/recurrent_kernel", "out"]
    assert not any(row.note for row in result.report.compensated)
    np.testing.assert_allclose(values(result.model, fresh), expected, atol=1e-4)
