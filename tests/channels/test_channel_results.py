"""What prune_channels returns is a model like any other: saved, trained, exported, masked and pruned again."""

import keras
import numpy as np
import pytest
from keras import layers
from support.channel_zoo import attention, batch, difference, gate, nested, outputs, randomise, residual

import keras_prune as kp
import tflite_export


def transformer():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(10, 8, name="embedding")(tokens)
    x = layers.Add()([x, layers.MultiHeadAttention(4, 4, name="attention")(x, x)])
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.Add()([x, layers.Dense(8, name="narrow")(layers.Dense(12, activation="gelu", name="wide")(x))])
    return keras.Model(tokens, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(x)))


def gru():
    """Of known length, as the export needs it."""
    inputs = keras.Input((6, 3))
    x = layers.GRU(8, return_sequences=True, name="first")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.LSTM(6, name="second")(x)))


KINDS = [residual, gate, gru, attention, transformer, nested]
CORE = [pytest.param(each, marks=pytest.mark.core) if each is nested else each for each in KINDS]


def pruned(build, size=8):
    """The smaller model and a batch for it."""
    model = randomise(build())
    return kp.prune_channels(model, 0.5).model, batch(model, size)


def targets(model, x):
    return np.random.default_rng(2).normal(size=outputs(model, x)[0].shape)


def train(model, x, y):
    """Trains for a few steps, and says whether the loss fell."""
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    losses = model.fit(x, y, epochs=8, batch_size=4, verbose=0).history["loss"]
    return losses[-1] < losses[0]


@pytest.mark.parametrize("build", CORE)
def test_result_can_be_saved_and_loaded(build, tmp_path):
    small, x = pruned(build)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    assert difference(outputs(loaded, x), outputs(small, x)) <= 1e-6
    assert [weight.shape for weight in loaded.weights] == [weight.shape for weight in small.weights]
    analysis, again = kp.analyze_channels(small), kp.analyze_channels(loaded)
    assert again.fingerprint == analysis.fingerprint


@pytest.mark.parametrize("build", CORE)
def test_result_learns(build):
    small, x = pruned(build)
    assert train(small, x, targets(small, x))


@pytest.mark.parametrize("build", CORE)
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_result_can_be_masked_trained_and_pruned_again(build):
    small, x = pruned(build)
    wrapped = kp.wrap_pruning(small)
    assert difference(outputs(wrapped, x), outputs(small, x)) <= 1e-6
    assert train(wrapped, x, targets(small, x))
    stripped = kp.strip_pruning(wrapped)
    assert difference(outputs(stripped, x), outputs(wrapped, x)) <= 1e-5
    again = kp.prune_channels(stripped, 0.5)
    assert again.model.count_params() < small.count_params()


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other backends: test_export_elsewhere.py")
@pytest.mark.parametrize("build", [residual, gru, transformer], ids=lambda build: build.__name__)
def test_result_can_be_exported(build, tmp_path):
    small, x = pruned(build)
    report = tflite_export.export(small, tmp_path / "small.tflite", inputs=x)
    assert report.max_difference <= report.tolerance
    assert difference([tflite_export.predict(report.path, x)], outputs(small, x)) <= 1e-4
