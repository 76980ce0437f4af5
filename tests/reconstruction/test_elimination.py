"""The error without some inputs, against least squares on all subsets."""

import keras
import numpy as np
import pytest
from keras import layers
from support.channel_zoo import randomise
from support.importance_oracles import scores

import keras_prune as kp
from keras_prune.reconstruction.elimination import Reader, eliminate

pytestmark = pytest.mark.core


def left(x, weights, kept):
    """The error that least squares leaves, relative to the sum of squares of the products."""
    y = x @ weights
    found = np.linalg.lstsq(x[:, kept], y, rcond=None)[0] if kept.any() else np.zeros((0, y.shape[1]))
    return np.square(y - x[:, kept] @ found).sum() / np.square(y).sum()


def test_each_step_takes_away_what_is_missed_least(rng):
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3, -1])
    x, weights = rng.normal(size=(80, 9)) @ rng.normal(size=(9, 9)), rng.normal(size=(9, 3))
    found = eliminate([Reader(x.T @ x, weights, labels)])
    gone: list[int] = []
    for channel, error in found.items():
        errors = {each: left(x, weights, ~np.isin(labels, [*gone, each])) for each in range(4) if each not in gone}
        assert channel == min(errors, key=errors.get)
        assert error == pytest.approx(errors[channel], rel=1e-3)
        gone.append(channel)
    assert len(gone) == 4
    assert list(found.values()) == sorted(found.values())


def test_all_that_read_a_channel_count(rng):
    """At each step the one that all of them together miss least; not what each would choose by itself."""
    labels = np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1, 2, 2, -1])
    xs = [rng.normal(size=(60, len(each))) @ rng.normal(size=(len(each), len(each))) for each in labels]
    weights = [rng.normal(size=(len(each), 3)) for each in labels]
    readers = [Reader(x.T @ x, w, own) for x, w, own in zip(xs, weights, labels, strict=True)]
    found, gone = eliminate(readers), []
    for channel, error in found.items():
        errors = {
            each: np.mean(
                [left(x, w, ~np.isin(own, [*gone, each])) for x, w, own in zip(xs, weights, labels, strict=True)]
            )
            for each in range(4)
            if each not in gone
        }
        assert channel == min(errors, key=errors.get)
        assert error == pytest.approx(errors[channel], rel=1e-3)
        gone.append(channel)
    assert sorted(gone) == [0, 1, 2, 3]


def test_two_groups_that_one_weight_reads(rng):
    """As a concatenation has them: each has scores of its own."""
    inputs = keras.Input((5,))
    x = layers.Concatenate()([layers.Dense(4, name="one")(inputs), layers.Dense(3, name="other")(inputs)])
    model = randomise(keras.Model(inputs, layers.Dense(6, name="out")(x)))
    found = scores(model, "reconstruction", rng.normal(size=(40, 5)).astype("float32"))
    assert all(np.count_nonzero(found[name]) >= 2 for name in ("one", "other"))


def test_a_sum_of_others_is_missed_least(rng):
    x = rng.normal(size=(50, 5))
    x[:, 3] = x[:, 0] - 2 * x[:, 1]
    first = next(iter(eliminate([Reader(x.T @ x, rng.normal(size=(5, 4)), np.arange(5))]).items()))
    assert first[0] in (0, 1, 3)
    assert first[1] < 1e-4


def test_copies_of_channels_go_first(rng):
    """Whatever the size of their weights: other criteria would keep them."""
    x = inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(6, 3, activation="relu", name="first")(x)
    x = layers.DepthwiseConv2D(2, name="depthwise")(x)
    x = layers.Conv2D(4, 2, name="second")(x)
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x))))
    copies = [0, 1, 0, 3, 4, 3]
    for name, axis in (("first", -1), ("depthwise", -2)):
        layer = model.get_layer(name)
        layer.kernel.assign(np.take(keras.ops.convert_to_numpy(layer.kernel), copies, axis))
        layer.bias.assign(np.take(keras.ops.convert_to_numpy(layer.bias), copies))
    data = rng.normal(size=(64, 6, 6, 2)).astype("float32")
    found = scores(model, "reconstruction", data)["first"]
    assert np.count_nonzero(found < 1e-3) == 2
    assert min(found[0], found[2]) < 1e-3
    assert min(found[3], found[5]) < 1e-3


def test_it_needs_data():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="first"), layers.Dense(2)])
    with pytest.raises(ValueError, match="measured on data"):
        kp.prune_channels(model, 0.5, importance="reconstruction")
