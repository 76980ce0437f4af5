"""`compensate=` of normalisations: the scale and the shift of each channel are those of least squares."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

import keras_prune as kp
from keras_prune.channels.plan import ChannelPlan
from keras_prune.reconstruction.refitting import refit
from keras_prune.reconstruction.refitting.layer_fit import Settings

pytestmark = pytest.mark.core

NORMS = {
    "layer": lambda: layers.LayerNormalization(name="norm"),
    "group": lambda: layers.GroupNormalization(2, name="norm"),
    "rms": lambda: layers.RMSNormalization(name="norm"),
    "batch": lambda: layers.BatchNormalization(name="norm"),
    "batch, not centred": lambda: layers.BatchNormalization(center=False, name="norm"),
}


def values(model, x):
    return ops.convert_to_numpy(model.predict_on_batch(x)).astype("float64")


def outputs_of(model, name, x):
    return values(keras.Model(model.inputs, model.get_layer(name).output), x)


@pytest.mark.parametrize("kind", NORMS)
def test_the_scale_and_shift_are_those_of_least_squares(kind, monkeypatch):
    """What is normalised is a product of two branches, so that it changes, and no weight before it is fitted to it."""
    monkeypatch.setattr(refit, "Settings", lambda: Settings(ridge=0.0))
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(6, 1, activation="relu", name="first")(inputs)
    x = layers.MaxPooling2D(2, strides=1)(layers.Conv2D(4, 1, name="second")(x))
    x = layers.Activation("tanh")(NORMS[kind]()(x))
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x))))
    data = np.random.default_rng(0).normal(size=(60, 4, 4, 3)).astype("float32")
    plan = ChannelPlan(kp.analyze_channels(model).fingerprint, {"first": (1, 2, 4)})
    result = kp.prune_channels(model, plan=plan, compensate=data)
    row = {row.layer: row for row in result.report.compensated}["norm"]
    assert row.after < row.before

    norm, old = result.model.get_layer("norm"), model.get_layer("norm")
    name = "scale" if kind == "rms" else "gamma"
    scale = np.array(ops.convert_to_numpy(getattr(norm, name)))
    shift = getattr(norm, "beta", None)
    shift = np.zeros(4) if shift is None else np.array(ops.convert_to_numpy(shift))
    given = ((outputs_of(result.model, "norm", data) - shift) / scale).reshape(-1, 4)
    wanted = outputs_of(model, "norm", data).reshape(-1, 4)
    centred = getattr(old, "beta", None) is not None
    for channel in range(4):
        columns = np.stack([given[:, channel], np.full(len(given), float(centred))], axis=1)
        expected = np.linalg.lstsq(columns, wanted[:, channel], rcond=None)[0]
        np.testing.assert_allclose([scale[channel], shift[channel]], expected, atol=1e-3)


def test_a_normalisation_behind_a_convolution_is_fitted_with_it():
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(6, 1, activation="relu", name="first")(inputs)
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 1, name="second")(x))
    model = randomise(keras.Model(inputs, layers.GlobalAveragePooling2D()(x)))
    data = np.random.default_rng(0).normal(size=(60, 4, 4, 3)).astype("float32")
    result = kp.prune_channels(model, ratios={"first": 0.5}, compensate=data)
    assert [row.layer for row in result.report.compensated] == ["second"]
    old, new = model.get_layer("norm"), result.model.get_layer("norm")
    assert np.array_equal(ops.convert_to_numpy(old.gamma), ops.convert_to_numpy(new.gamma))


def test_a_normalisation_without_a_scale_is_left():
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu", name="first")(inputs)
    x = layers.LayerNormalization(scale=False, name="norm")(x)
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(x)))
    data = np.random.default_rng(0).normal(size=(60, 6)).astype("float32")
    result = kp.prune_channels(model, ratios={"first": 0.5}, compensate=data)
    assert [row.layer for row in result.report.compensated] == ["out"]
