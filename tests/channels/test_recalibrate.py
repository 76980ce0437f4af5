"""`recalibrate=`: BatchNormalization statistics are those of the data, and nothing else changes."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

import keras_prune as kp


def network(sequential=False, rate=0.5):
    first = [layers.Conv2D(8, 3, name="conv"), layers.BatchNormalization(name="norm1"), layers.Dropout(rate)]
    inner = keras.Sequential([keras.Input((6, 6, 8)), layers.Conv2D(6, 3, name="inside")], name="inner")
    last = [inner, layers.BatchNormalization(name="norm2"), layers.Flatten(), layers.Dense(2, name="out")]
    if sequential:
        return keras.Sequential([keras.Input((8, 8, 3)), *first, *last])
    x = inputs = keras.Input((8, 8, 3))
    for layer in [*first, *last]:
        x = layer(x)
    return keras.Model(inputs, x)


def statistics(model, name):
    norm = model.get_layer(name)
    return ops.convert_to_numpy(norm.moving_mean), ops.convert_to_numpy(norm.moving_variance)


def before(model, name, x):
    """What a layer reads, without anything of the package."""
    part = keras.Model(model.inputs, model.get_layer(name).input)
    return ops.convert_to_numpy(part(x, training=False)).astype("float64")


@pytest.mark.core
@pytest.mark.parametrize("sequential", [False, True])
def test_statistics_are_those_of_the_data(sequential, rng):
    model = randomise(network(sequential))
    x = rng.normal(1.0, 2.0, (200, 8, 8, 3)).astype("float32")
    plain = kp.prune_channels(model, 0.5).model
    small = kp.prune_channels(model, 0.5, recalibrate=x).model
    for name in ("norm1", "norm2"):
        axes = (0, 1, 2)
        read = before(plain, "norm1", x) if name == "norm1" else None
        if read is None:  # what the second reads depends on the first
            read = before(small, "norm2", x)
        mean, variance = statistics(small, name)
        np.testing.assert_allclose(mean, read.mean(axes), atol=1e-4)
        np.testing.assert_allclose(variance, read.var(axes), rtol=2e-2)
        assert small.get_layer(name).momentum == model.get_layer(name).momentum
        assert not np.allclose(mean, statistics(plain, name)[0], atol=1e-2)
    for one, other in zip(plain.trainable_variables, small.trainable_variables, strict=True):
        assert np.array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other))


def test_all_batches_count_alike(rng):
    model = randomise(network())
    parts = [rng.normal(shift, 1.0, (50, 8, 8, 3)).astype("float32") for shift in (0.0, 3.0, -1.0)]
    mean, _ = statistics(kp.prune_channels(model, 0.5, recalibrate=parts).model, "norm1")
    whole, _ = statistics(kp.prune_channels(model, 0.5, recalibrate=np.concatenate(parts)).model, "norm1")
    np.testing.assert_allclose(mean, whole, atol=1e-4)


def test_layers_that_are_not_trainable_keep_their_statistics(rng):
    model = randomise(network())
    model.get_layer("norm1").trainable = False
    x = rng.normal(size=(32, 8, 8, 3)).astype("float32")
    small = kp.prune_channels(model, 0.0, recalibrate=x).model
    assert np.array_equal(statistics(small, "norm1"), statistics(model, "norm1"))
    assert not np.array_equal(statistics(small, "norm2"), statistics(model, "norm2"))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.zeros((4, 9, 8, 3), "float32"), ValueError, "does not fit the inputs"),
        (np.zeros((0, 8, 8, 3), "float32"), ValueError, "at least one sample"),
        (np.full((4, 8, 8, 3), np.nan, "float32"), ValueError, "must be finite"),
        (3, TypeError, "must be arrays"),
    ],
)
def test_bad_data(data, error, message):
    with pytest.raises(error, match=message) as caught:
        kp.prune_channels(network(), 0.5, recalibrate=data)
    assert "Received: " in str(caught.value)
