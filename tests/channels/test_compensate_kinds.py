"""`compensate=` for every kind of layer that reads what was removed: copies of channels are absorbed."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

import keras_prune as kp
from keras_prune.channels.plan import ChannelPlan

pytestmark = pytest.mark.core

SIZE = 48


def values(model, x):
    return ops.convert_to_numpy(model.predict_on_batch(x)).astype("float64")


def inputs_of(shape, size=SIZE, seed=0):
    return np.random.default_rng(seed).normal(size=(size, *shape)).astype("float32")


def plan_of(model, removed):
    return ChannelPlan(kp.analyze_channels(model).fingerprint, removed)


def copy_half(weight, axis):
    """Makes the second half along an axis a copy of the first."""
    array = np.moveaxis(np.array(ops.convert_to_numpy(weight.value)), axis, 0)
    half = len(array) // 2
    array[half:] = array[:half]
    weight.assign(np.moveaxis(array, 0, axis))


def absorbs(model, copies, removed, shape, size=SIZE):
    """Removes copies of channels: with `compensate` nothing is lost, without it much. Returns the records by layer."""
    for weight, axis in copies:
        copy_half(weight, axis)
    before = [np.array(each) for each in model.get_weights()]
    plan, x, fresh = plan_of(model, removed), inputs_of(shape, size), inputs_of(shape, seed=1)
    sliced = kp.prune_channels(model, plan=plan).model
    result = kp.prune_channels(model, plan=plan, compensate=x)
    wanted = values(model, fresh)
    assert np.abs(values(sliced, fresh) - wanted).max() > 0.01
    np.testing.assert_allclose(values(result.model, fresh), wanted, atol=1e-5)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)
    return {row.layer: row for row in result.report.compensated}


def sequences(reader):
    """A layer that reads sequences of eight features, each of which there is twice."""
    inputs = keras.Input((5, 3))
    x = layers.Dense(8, activation="tanh", name="first")(inputs)
    return randomise(keras.Model(inputs, layers.Dense(2, name="out")(read(reader, x))))


def read(reader, x):
    return reader(x, x) if isinstance(reader, layers.MultiHeadAttention) else reader(x)


READERS = {
    "lstm": (lambda: layers.LSTM(3, name="reader"), ["kernel"]),
    "gru": (lambda: layers.GRU(3, return_sequences=True, name="reader"), ["kernel"]),
    "gru, reset before": (lambda: layers.GRU(3, reset_after=False, name="reader"), ["kernel"]),
    "simple": (lambda: layers.SimpleRNN(3, go_backwards=True, name="reader"), ["kernel"]),
    "without a bias": (lambda: layers.SimpleRNN(3, use_bias=False, name="reader"), ["kernel"]),
    "cells": (
        lambda: layers.RNN([layers.GRUCell(3, name="a"), layers.LSTMCell(2, name="b")], name="reader"),
        ["a/kernel"],
    ),
    "both ways": (
        lambda: layers.Bidirectional(layers.LSTM(2, name="own"), name="reader"),
        ["forward_own/kernel", "backward_own/kernel"],
    ),
    "attention": (lambda: layers.MultiHeadAttention(2, 3, name="reader"), ["query", "key", "value"]),
    "each step": (lambda: layers.TimeDistributed(layers.Dense(3, activation="relu"), name="reader"), [""]),
}


@pytest.mark.parametrize("kind", READERS)
def test_copies_of_what_a_layer_reads_are_absorbed(kind):
    make, parts = READERS[kind]
    model = sequences(make())
    first = model.get_layer("first")
    found = absorbs(model, [(first.kernel, 1), (first.bias, 0)], {"first": (4, 5, 6, 7)}, (5, 3))
    assert list(found) == [f"reader/{part}".rstrip("/") for part in parts]
    assert all(row.after < 1e-8 < row.before and row.note == "" for row in found.values())


def test_grouped_attention_reads_copies():
    """It makes as many channels as it reads, so that its outputs lose some."""
    reader = layers.GroupQueryAttention(2, 4, 2, name="reader")
    model = sequences(lambda x: reader(x, x))
    first = model.get_layer("first")
    for weight, axis in ((first.kernel, 1), (first.bias, 0)):
        copy_half(weight, axis)
    plan = plan_of(model, {"first": (4, 5, 6, 7)})
    found = kp.prune_channels(model, plan=plan, compensate=inputs_of((5, 3))).report.compensated
    assert [row.layer for row in found] == ["reader/query", "reader/key", "reader/value", "out"]
    assert all(row.after < 1e-8 < row.before for row in found[:3])


RECURRENT = {
    "lstm": lambda: layers.LSTM(6, return_sequences=True, name="first"),
    "gru": lambda: layers.GRU(6, return_sequences=True, name="first"),
    "gru, reset before": lambda: layers.GRU(6, reset_after=False, return_sequences=True, name="first"),
}


@pytest.mark.parametrize("kind", RECURRENT)
def test_copies_of_units_are_absorbed_by_the_recurrent_weights(kind):
    inputs = keras.Input((5, 3))
    layer = RECURRENT[kind]()
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(layer(inputs))))
    cell = layer.cell
    for weight in (cell.kernel, cell.recurrent_kernel, cell.bias):  # the second half of the units of each gate
        array = np.array(ops.convert_to_numpy(weight.value))
        gates = array.reshape(*array.shape[:-1], -1, 6)
        gates[..., 3:] = gates[..., :3]
        weight.assign(gates.reshape(array.shape))
    found = absorbs(model, [], {"first": (3, 4, 5)}, (5, 3))
    assert list(found) == ["first/recurrent_kernel", "out"]
    assert all(row.after < 1e-8 < row.before for row in found.values())


def test_a_copy_of_a_head_is_absorbed_by_the_output_projection():
    inputs = keras.Input((5, 4))
    layer = layers.MultiHeadAttention(2, 3, name="attention")
    model = randomise(keras.Model(inputs, layer(inputs, inputs)))
    projections = [layer.query_dense, layer.key_dense, layer.value_dense]
    copies = [pair for each in projections for pair in ((each.kernel, 1), (each.bias, 0))]
    found = absorbs(model, copies, {"attention:num_heads": (1,)}, (5, 4))
    assert list(found) == ["attention/attention_output"]


def test_copies_of_channels_before_convolutions_in_layers():
    """A separable convolution of copies, each step of a sequence of images, and a recurrent layer of such."""
    inputs = keras.Input((2, 5, 5, 2))
    x = layers.TimeDistributed(layers.Conv2D(4, 2, activation="relu", name="own"), name="first")(inputs)
    each = layers.TimeDistributed(layers.Conv2D(2, 2, strides=2, activation="tanh"), name="each")(x)
    recurrent = layers.ConvLSTM2D(2, 2, padding="same", return_sequences=True, name="recurrent")(x)
    out = layers.Concatenate()([layers.Flatten()(each), layers.Flatten()(recurrent)])
    model = randomise(keras.Model(inputs, out))
    own = model.get_layer("first").layer
    found = absorbs(model, [(own.kernel, 3), (own.bias, 0)], {"first": (2, 3)}, (2, 5, 5, 2), 24)
    assert sorted(found) == ["each", "recurrent/kernel"]


def test_a_separable_convolution_of_copies():
    inputs = keras.Input((5, 5, 3))
    x = layers.Conv2D(4, 1, activation="relu", name="first")(inputs)
    x = layers.SeparableConv2D(3, 2, padding="same", activation="relu", name="separable")(x)
    model = randomise(keras.Model(inputs, x))
    first, second = model.get_layer("first"), model.get_layer("separable")
    copies = [(first.kernel, 3), (first.bias, 0), (second.depthwise_kernel, 2)]
    found = absorbs(model, copies, {"first": (2, 3)}, (5, 5, 3))
    assert list(found) == ["separable/pointwise_kernel"]


@pytest.mark.parametrize("data", [np.ones((20, 5, 3), "float32"), inputs_of((5, 3), 1)], ids=["constant", "one sample"])
def test_data_that_say_little(data):
    """What is constant, or too little, leaves all finite, and no layer worse; where rows are few it is said."""
    inputs = keras.Input((5, 3))
    x = layers.Dense(12, activation="relu", name="first")(inputs)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.LSTM(4, name="recurrent")(x)
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(x)))
    result = kp.prune_channels(model, 0.5, compensate=data)
    rows = result.report.compensated
    assert {row.layer.split("/")[0] for row in rows} <= {"norm", "attention", "recurrent", "out"}
    assert all(row.after <= row.before for row in rows)
    assert np.isfinite(values(result.model, inputs_of((5, 3)))).all()
    if len(data) == 1:
        assert any(row.note.startswith("fewer rows than inputs (5 for 7)") for row in rows)
