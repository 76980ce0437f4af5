"""`prune_layers(compensate=x)`: what is left takes over the work of what is removed; each claim against NumPy."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

import keras_prune as kp
from keras_prune.reconstruction.refitting import refit
from keras_prune.reconstruction.refitting.layer_fit import Settings

pytestmark = pytest.mark.core


def inputs_of(shape, size=96, seed=0):
    return np.random.default_rng(seed).normal(size=(size, *shape)).astype("float32")


def values(model, x):
    return ops.convert_to_numpy(model.predict_on_batch(x)).astype("float64")


def array(variable):
    return np.array(ops.convert_to_numpy(variable.value)).astype("float64")


def error(model, small, x):
    return np.square(values(small, x) - values(model, x)).sum()


def blocks(width=8, activation="relu"):
    """Dense residual blocks behind one another."""
    x = inputs = keras.Input((6,))
    x = layers.Dense(width, name="stem")(x)
    for name in ("a", "b", "c"):
        y = layers.Dense(width, activation=activation, name=f"{name}_wide")(x)
        x = layers.Add(name=f"{name}_sum")([x, layers.Dense(width, name=f"{name}_narrow")(y)])
    return randomise(keras.Model(inputs, layers.Dense(3, name="out")(x)))


@pytest.mark.parametrize("which", ["a_sum", "b_sum", ["a_sum", "b_sum"], ["b_sum", "c_sum"]])
def test_what_is_linear_is_absorbed_by_the_layer_before(which):
    model = blocks(activation=None)
    before = [np.array(each) for each in model.get_weights()]
    fresh = inputs_of((6,), seed=1)
    plain = kp.prune_layers(model, which)
    result = kp.prune_layers(model, which, compensate=inputs_of((6,)))
    assert result.plan == plain.plan
    assert error(model, plain.model, fresh) > 0.1
    np.testing.assert_allclose(values(result.model, fresh), values(model, fresh), rtol=1e-3, atol=1e-3)
    (row,) = result.report.compensated  # what comes after it is right as it is
    assert row.layer == ("a_narrow" if which[0] == "b_sum" or which == "b_sum" else "stem")
    assert row.after < 1e-6 < row.before
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    assert "Compensated" in str(result)


def test_the_layer_before_has_the_weights_of_least_squares(monkeypatch):
    monkeypatch.setattr(refit, "Settings", lambda: Settings(ridge=0.0))
    model, x = blocks(), inputs_of((6,), 300)
    small = kp.prune_layers(model, "a_sum", compensate=x).model
    target = values(keras.Model(model.inputs, model.get_layer("a_sum").output), x)
    given = np.concatenate([x.astype("float64"), np.ones((300, 1))], axis=1)
    expected, *_ = np.linalg.lstsq(given, target, rcond=None)
    stem = small.get_layer("stem")
    np.testing.assert_allclose(np.concatenate([array(stem.kernel), array(stem.bias)[None]]), expected, atol=1e-3)


def test_the_activation_before_is_fitted_through():
    """What is behind the ReLU takes the place of the sum, so what is before it is fitted to the sum."""
    inputs = keras.Input((6,))
    x = layers.ReLU(name="relu")(layers.Dense(8, name="first")(inputs))
    x = layers.Add(name="sum")([x, layers.Dense(8, use_bias=False, name="branch")(x)])
    model = randomise(keras.Model(inputs, layers.Dense(3, name="out")(layers.ReLU()(x))))
    model.get_layer("branch").kernel.assign(0.5 * np.eye(8))
    x, fresh = inputs_of((6,), 500), inputs_of((6,), seed=1)
    result = kp.prune_layers(model, "sum", compensate=x)
    assert result.report.compensated[0].layer == "first"
    assert error(model, result.model, fresh) < 0.2 * error(model, kp.prune_layers(model, "sum").model, fresh)


def test_a_tensor_that_others_read_too_is_left():
    """The layer before has to give what it did, for what reads it elsewhere; those behind make up for the branch."""
    inputs = keras.Input((6,))
    first = layers.Dense(8, name="first")(inputs)
    joined = layers.Add(name="sum")([first, layers.Dense(8, activation="tanh", name="branch")(first)])
    both = [layers.Dense(3, name="out")(joined), layers.Dense(2, name="other")(first)]
    model = randomise(keras.Model(inputs, both))
    x = inputs_of((6,))
    result = kp.prune_layers(model, "sum", compensate=x)
    assert [row.layer for row in result.report.compensated] == ["out"]
    assert np.array_equal(array(model.get_layer("first").kernel), array(result.model.get_layer("first").kernel))
    assert result.report.compensated[0].after < result.report.compensated[0].before


def convolutional():
    """Residual blocks with normalisation, one of them of three terms, in a model inside."""
    x = inner = keras.Input((8, 8, 6))
    y = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(layers.Conv2D(6, 3, padding="same")(x)))
    z = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Add(name="three")([layers.Conv2D(6, 3, padding="same", name="conv")(y), x, z])
    body = keras.Model(inner, layers.ReLU(name="after")(x), name="body")
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = body(layers.ReLU()(layers.BatchNormalization(name="stem_norm")(x)))
    return randomise(keras.Model(inputs, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x))))


@pytest.mark.parametrize("which", ["body/three:0", "body/three:2", "body"])
def test_every_layer_and_the_outputs_come_nearer(which):
    model, x, fresh = convolutional(), inputs_of((8, 8, 3)), inputs_of((8, 8, 3), seed=1)
    result = kp.prune_layers(model, which, compensate=x)
    assert all(row.after <= row.before for row in result.report.compensated)
    assert error(model, result.model, fresh) < 0.3 * error(model, kp.prune_layers(model, which).model, fresh)


class Block(layers.Layer):
    """A block of a transformer, normalised before."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norms = [layers.LayerNormalization(), layers.LayerNormalization()]
        self.attention = layers.MultiHeadAttention(2, 4)
        self.wide, self.narrow = layers.Dense(16, activation="gelu"), layers.Dense(8)

    def call(self, x):
        y = self.norms[0](x)
        x = x + self.attention(y, y)
        return x + self.narrow(self.wide(self.norms[1](x)))


def test_blocks_of_a_transformer_that_is_no_graph():
    x = inputs = keras.Input((5, 4))
    x = layers.Dense(8, name="first")(x)
    for index in range(2):
        x = Block(name=f"block{index}")(x)
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(x))))
    x, fresh = inputs_of((5, 4), 200), inputs_of((5, 4), seed=1)
    chosen = {"ratio": 0.5, "units": "blocks", "importance": "block_influence", "data": x}
    plain, result = kp.prune_layers(model, **chosen), kp.prune_layers(model, **chosen, compensate=x)
    assert result.plan == plain.plan
    assert len(result.plan.removed) == 1
    assert error(model, result.model, fresh) < 0.5 * error(model, plain.model, fresh)


def test_what_is_left_as_it_was_is_named():
    inputs = keras.Input((6, 8))
    shared = layers.Dense(8, name="shared")
    x = layers.Add(name="sum")([inputs, layers.Dense(8, activation="tanh", name="branch")(inputs)])
    x = layers.LSTM(8, return_sequences=True, name="recurrent")(shared(shared(x)))
    x = layers.TimeDistributed(keras.Sequential([keras.Input((8,)), layers.Dense(4)]), name="each")(x)
    frozen = layers.Dense(2, name="out", trainable=False)
    model = randomise(keras.Model(inputs, frozen(layers.GlobalAveragePooling1D()(x))))
    result = kp.prune_layers(model, "sum", compensate=inputs_of((6, 8)))
    notes = {row.layer: row.note for row in result.report.compensated}
    assert notes == {
        "shared": "used several times, and another layer is missing",
        "out": "not trainable",
        "recurrent/kernel": "",
        "each": "no fit for a TimeDistributed: left as it was",
    }
    for old, new in zip(model.get_layer("shared").weights, result.model.get_layer("shared").weights, strict=True):
        assert np.array_equal(array(old), array(new))


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (np.zeros((4, 7), "float32"), ValueError, "does not fit the inputs"),
        (np.full((4, 6), np.nan, "float32"), ValueError, "must be finite"),
        ("weights", TypeError, "Received: "),
    ],
)
def test_data_that_do_not_fit(data, kind, message):
    with pytest.raises(kind, match=message):
        kp.prune_layers(blocks(), "a_sum", compensate=data)
