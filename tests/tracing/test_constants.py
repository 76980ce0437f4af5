"""Constant arrays among the arguments of operations: they are cut along the channels that they meet."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support import rotations
from support.channel_zoo import check
from support.versions import require_keras
from support.zoo import predict

import keras_prune as kp

pytestmark = pytest.mark.core
TURNS = {
    "halves": rotations.turn_halves,
    "stacked": rotations.turn_halves_by_stacking,
    "neighbours": rotations.turn_neighbours,
}


def between(middle, shape=(4, 5), units=8):
    """A layer, what is tried, and a reader."""
    inputs = keras.Input(shape)
    x = middle(layers.Dense(units, activation="tanh", name="before")(inputs))
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def drawn(*shape):
    return np.random.default_rng(7).normal(size=shape).astype("float32")


FOLLOWING = {
    "added": lambda x: x + drawn(8),
    "of all axes": lambda x: x * drawn(1, 4, 8),
    "first": lambda x: ops.subtract(drawn(4, 8), x),
    "tensor": lambda x: ops.maximum(x, ops.convert_to_tensor(drawn(8))),
    "by name": lambda x: ops.add(x1=x, x2=drawn(8)),
    "nested": lambda x: ops.select([x > 0, drawn(8) > 0], [x * 2, ops.convert_to_tensor(drawn(4, 8))], 0.5),
    "where": lambda x: ops.where(drawn(8) > 0, x, drawn(4, 1)),
    "split axis": lambda x: ops.reshape(x, (-1, 4, 2, 4)) * drawn(2, 4),
    "along heads only": lambda x: ops.reshape(x, (-1, 4, 2, 4)) * drawn(2, 1),
    "transposed": lambda x: ops.transpose(x, (0, 2, 1)) * drawn(8, 1),
    "wider": lambda x: ops.mean(x, axis=1) + drawn(2, 3, 1, 8),
    "twice": lambda x: (x + drawn(8)) * drawn(8) - drawn(8),
    "statistics": lambda x: ops.batch_normalization(x, drawn(8), np.abs(drawn(8)), -1, drawn(8), drawn(8)),
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_constants_are_cut_with_the_channels(name):
    if name == "statistics":
        require_keras("3.11")  # before it, `ops.batch_normalization` fails on numbers
    if name == "wider":  # one sample among other axes
        inputs = keras.Input(batch_shape=(2, 4, 5))
        x = FOLLOWING[name](layers.Dense(8, name="before")(inputs))
        model = keras.Model(inputs, layers.Dense(2, name="out")(x))
    else:
        model = between(FOLLOWING[name])
    result, error = check(model)
    assert error is not None
    assert list(result.plan.removed) == ["before"]
    assert not result.report.unknown
    assert result.model.get_layer("before").units == 4


def test_a_constant_that_widens_a_single_channel_keeps_it():
    model = between(lambda x: layers.Dense(1, name="one")(x) * drawn(8))
    result, _ = check(model)
    assert "all entries of a constant" in result.report.frozen["one"]


def test_a_column_that_keras_may_take_for_a_bias_is_kept():
    """On TensorFlow Keras adds it along the last axis as soon as this has as many entries, here 4."""
    model = between(lambda x: ops.transpose(x, (0, 2, 1)) + drawn(8, 1))
    assert "along another axis than the last" in kp.analyze_channels(model).groups[0].frozen


def test_small_models_with_constants_are_saved(tmp_path):
    small = kp.prune_channels(between(FOLLOWING["of all axes"]), 0.5).model
    small.save(tmp_path / "small.keras")
    x = drawn(3, 4, 5)
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(predict(loaded, x)[0], predict(small, x)[0], rtol=1e-6)


def rotary_model(turn, paired, **arguments):
    inputs = keras.Input((6, 5))
    cos, sin = (each[:, None] for each in rotations.angles(6, 8, paired))
    x = rotations.rotated_attention(lambda x: x * cos + turn(x) * sin, inputs, **arguments)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def rotated(model):
    """The group of the dimensions of queries and keys."""
    (found,) = [group for group in kp.analyze_channels(model).groups if set(group.producers) == {"query", "key"}]
    return found


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("keys", [1, 2])
def test_rotated_dimensions_are_removed_in_pairs_from_queries_and_keys(name, keys):
    model = rotary_model(TURNS[name], "neighbours" if name == "neighbours" else "halves", heads=2, keys=keys)
    result, error = check(model)
    assert error is not None
    assert not result.report.unknown
    query = rotated(model)
    assert query.size == 4
    pairs = next(member.labels for member in query.members if member.layer == "query" and member.axis == 2)
    expected = np.repeat(np.arange(4), 2) if name == "neighbours" else np.tile(np.arange(4), 2)
    np.testing.assert_array_equal(np.unique(pairs, return_inverse=True)[1], expected)
    small, heads = result.model, 2 if keys == 1 else 1  # of as many keys as queries whole heads are removed, too
    assert small.get_layer("query").kernel.shape == (5, heads, 4)
    assert small.get_layer("key").kernel.shape == (5, 1, 4)
    assert small.get_layer("value").kernel.shape == (5, 1, 3)


def test_a_part_of_the_dimensions_is_rotated():
    """As in GPT-NeoX and Phi: the others pass beside."""
    cos, sin = (each[:, None] for each in rotations.angles(6, 4))

    def rotate(x):
        turned, beside = x[..., :4], x[..., 4:]
        turned = turned * cos + rotations.turn_halves(turned) * sin
        return ops.concatenate([turned, beside], axis=-1)

    inputs = keras.Input((6, 5))
    x = rotations.rotated_attention(rotate, inputs)
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))
    result, error = check(model)
    assert error is not None
    query = rotated(model)
    assert query.size == 2 + 4
    assert query.free.all()
    assert not result.report.unknown


def test_angles_are_computed_of_positions_and_lose_the_same_dimensions():
    inputs, positions = keras.Input((6, 5)), keras.Input((6,), name="positions")
    cos, sin = rotations.computed_angles(positions, 8)
    x = rotations.rotated_attention(lambda x: x * cos + rotations.turn_halves(x) * sin, inputs)
    model = keras.Model([inputs, positions], layers.Dense(2, name="out")(layers.Flatten()(x)))
    result, error = check(model)
    assert error is not None
    assert rotated(model).free.all()
    assert rotated(model).size == 4
    assert not result.report.unknown


def test_what_only_constants_reach_is_not_reported():
    inputs, positions = keras.Input((4, 5)), keras.Input((4,), name="positions")
    waves = ops.cumsum(ops.expand_dims(positions, -1) * drawn(8), axis=-1)
    x = layers.Dense(8, name="before")(inputs)
    model = keras.Model([inputs, positions], layers.Dense(2)(layers.Concatenate()([x, waves])))
    result, _ = check(model)
    assert not result.report.unknown
    assert list(result.plan.removed) == ["before"]
