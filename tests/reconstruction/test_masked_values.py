"""Values inside of models whose time steps are masked: Keras hands masks on with the tensors, unseen in the graph."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

import keras_prune as kp
from keras_prune.channels.plan import ChannelPlan
from keras_prune.reconstruction.refitting.frontier import Frontier

pytestmark = pytest.mark.core


def masked():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(10, 8, mask_zero=True, name="embedding")(inputs)
    x = layers.Dense(8, activation="tanh", name="first")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    return randomise(keras.Model(inputs, layers.LSTM(3, name="recurrent")(x)))


def tokens(seed, size=60):
    rng = np.random.default_rng(seed)
    found = rng.integers(1, 10, (size, 6)).astype("int32")
    found[np.arange(6) >= rng.integers(2, 7, size)[:, None]] = 0
    return found


def test_masks_hold_from_one_tensor_to_the_next():
    model, x = masked(), tokens(0)
    values = Frontier(model)
    for name in ("first", "attention", "recurrent"):
        tensor = model.get_layer(name).output
        expected = keras.Model(model.inputs, tensor).predict_on_batch(x)
        np.testing.assert_allclose(values.values([tensor], x)[0], ops.convert_to_numpy(expected), atol=1e-5)


def test_what_reads_masked_sequences_is_fitted_as_it_runs():
    """Copies of channels are absorbed, and copies of units: their states go on only where there is a token."""
    model, x = masked(), tokens(0)
    first = model.get_layer("first")
    for weight in (first.kernel, first.bias):
        array = np.array(ops.convert_to_numpy(weight.value))
        array[..., 4:] = array[..., :4]
        weight.assign(array)
    plan = ChannelPlan(kp.analyze_channels(model).fingerprint, {"first": (4, 5, 6, 7), "attention:num_heads": (1,)})
    layer = model.get_layer("attention")
    for each in (layer.query_dense, layer.key_dense, layer.value_dense):
        for weight, axis in ((each.kernel, 1), (each.bias, 0)):
            array = np.moveaxis(np.array(ops.convert_to_numpy(weight.value)), axis, 0)
            array[1] = array[0]
            weight.assign(np.moveaxis(array, 0, axis))
    result, fresh = kp.prune_channels(model, plan=plan, compensate=x), tokens(1)
    found, wanted = (ops.convert_to_numpy(each.predict_on_batch(fresh)) for each in (result.model, model))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert [row.layer for row in result.report.compensated] == [
        f"attention/{part}" for part in ("query", "key", "value", "attention_output")
    ]
