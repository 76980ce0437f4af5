"""Tensors with channels along two axes: matrices over positions, gates of experts, and what stands between them."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import check

import keras_prune as kp

pytestmark = pytest.mark.core


def made_of(x):
    """The groups that lose channels, each by its layers."""
    groups = [group for group in kp.analyze_channels(x).groups if not group.frozen]
    return sorted(sorted({member.layer for member in group.members}) for group in groups)


def head(inputs, x):
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def mixed(between=lambda x: x, back=True):
    """A block that mixes positions: the units of its first matrix hold all channels of the stream."""
    inputs = keras.Input((6, 5))
    stream = layers.Dense(8, name="stream")(inputs)
    x = layers.Permute((2, 1))(stream)
    x = between(layers.Dense(10, activation="gelu", name="wide")(x))
    x = layers.Permute((2, 1))(layers.Dense(6, name="narrow")(x))
    return head(inputs, x + stream if back else x)


@pytest.mark.parametrize(
    "between",
    [
        lambda x: layers.Dropout(0.2)(ops.sigmoid(x)),
        lambda x: layers.BatchNormalization(name="norm")(x),
        lambda x: layers.Permute((2, 1))(layers.LayerNormalization(name="over_stream")(layers.Permute((2, 1))(x))),
    ],
    ids=["activations", "batch_normalization", "layer_normalization"],
)
def test_units_of_a_matrix_over_positions_are_removed_beside_the_channels(between):
    model = mixed(between)
    result, error = check(model)
    inside = result.model.get_layer("wide")
    assert inside.units == 5
    assert result.model.get_layer("stream").units == 4
    assert result.model.get_layer("narrow").units == 6  # its units are the positions of the stream
    assert "joins it with entries that must stay" in result.report.frozen["narrow"]
    assert (error is None) == ("over_stream" in [layer.name for layer in model.layers])
    assert kp.prune_channels(result.model, 0.0).report.macs_before == result.report.macs_after


def test_without_a_stream_that_they_are_added_to_positions_are_channels_too():
    model = mixed(back=False)
    result, error = check(model)
    assert error is not None
    assert result.model.get_layer("narrow").units == 6  # each position has weights of its own behind the Flatten
    assert result.report.parameters_after < 0.6 * result.report.parameters_before


@pytest.mark.parametrize("gate", ["softmax", "sigmoid"])
def test_units_in_experts_are_removed_where_the_experts_stay(gate):
    inputs = keras.Input((5,))
    experts = [layers.Dense(8, activation="relu", name=f"expert{number}") for number in range(3)]
    gates = layers.Dense(3, activation=gate, name="gate")(inputs)
    stacked = ops.stack([expert(inputs) for expert in experts], axis=1)
    x = ops.sum(stacked * ops.expand_dims(gates, -1), axis=1)
    model = keras.Model(inputs, layers.Dense(2, name="out")(x))
    result, error = check(model)
    assert error is not None
    assert made_of(model) == [["expert0", "expert1", "expert2", "out"]]
    assert [result.model.get_layer(expert.name).units for expert in experts] == [4, 4, 4]
    assert "gate" in result.report.frozen


def test_units_of_heads_are_removed_where_a_softmax_weighs_the_heads():
    """The labels of the heads differ along both axes: those of the gate must be kept."""
    inputs = keras.Input((5,))
    heads = ops.reshape(layers.Dense(24, activation="relu", name="all")(inputs), (-1, 3, 8))
    gates = layers.Dense(3, activation="softmax", name="gate")(inputs)
    x = ops.sum(heads * ops.expand_dims(gates, -1), axis=1)
    result, error = check(keras.Model(inputs, layers.Dense(2, name="out")(x)))
    assert error is not None
    assert result.model.get_layer("all").units == 12


def test_tensors_side_by_side_lose_the_same_channels():
    inputs = keras.Input((5,))
    rows = [layers.Dense(8, name=f"row{number}")(inputs)[:, None] for number in range(2)]
    x = ops.concatenate(rows, axis=1) * layers.Dense(2, activation="softmax", name="gate")(inputs)[..., None]
    pairs = ops.reshape(ops.stack([row[:, 0] for row in rows], axis=-1), (-1, 16))
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.Concatenate()([layers.Flatten()(x), pairs])))
    result, error = check(model)
    assert error is not None
    assert [result.model.get_layer(f"row{number}").units for number in range(2)] == [4, 4]


def test_gates_of_a_softmax_that_is_an_operation():
    inputs = keras.Input((5,))
    gates = ops.softmax(layers.Dense(3, name="gate")(inputs))
    stacked = ops.stack([layers.Dense(8, name=f"expert{number}")(inputs) for number in range(3)], axis=1)
    x = ops.sum(stacked * ops.expand_dims(gates, -1), axis=1)
    result, error = check(keras.Model(inputs, layers.Dense(2, name="out")(x)))
    assert error is not None
    assert result.model.get_layer("expert1").units == 4


@pytest.mark.parametrize(
    "settings",
    [
        {"scale": np.linspace(0.5, 2, 8)},
        {"scale": list(np.linspace(0.5, 2, 8)), "offset": np.linspace(-1, 1, 8)},
        {"scale": 2.0, "offset": np.linspace(-1, 1, 24).reshape(3, 8)},
        {"scale": np.linspace(0.5, 2, 3).reshape(3, 1)},
    ],
    ids=["scale", "both", "positions", "one_for_all"],
)
def test_arrays_of_rescaling_lose_the_entries_of_channels(settings):
    inputs = keras.Input((3, 4))
    x = layers.Rescaling(**settings)(layers.Dense(8, name="before")(inputs))
    model = head(inputs, layers.Dense(6, name="after")(x))
    result, error = check(model)
    assert error is not None
    assert result.model.get_layer("before").units == 4
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(result.model))
    assert again.count_params() == result.model.count_params()


@pytest.mark.parametrize("rows", [True, False], ids=["a row for each", "the same for all"])
def test_a_mask_of_a_softmax_keeps_the_rows_that_it_has_entries_for(rows):
    inputs = keras.Input((6, 5))
    x = layers.Permute((2, 1))(layers.Dense(10, name="rows")(layers.Permute((2, 1))(inputs)))
    scores = ops.einsum("bre,bpe->brp", x, inputs)
    mask = keras.Input((10 if rows else 1, 6), dtype="bool", name="mask")
    weights = layers.Softmax(name="softmax")(scores, mask=mask)
    x = ops.max(ops.einsum("brp,bpe->bre", weights, inputs), axis=2)
    model = keras.Model([inputs, mask], layers.Dense(2, name="out")(x))
    analysis = kp.analyze_channels(model)
    (group,) = [group for group in analysis.groups if "rows" in {member.layer for member in group.members}]
    assert bool(group.frozen) == rows
    small = kp.prune_channels(model, 0.5).model
    rng = np.random.default_rng(0)
    given = rng.normal(size=(2, 6, 5)).astype("float32"), np.ones((2, *mask.shape[1:]), bool)
    assert np.isfinite(ops.convert_to_numpy(small(list(given)))).all()


def test_what_is_right_along_both_axes_is_not_fitted_again():
    """Fewer channels of the stream are fewer rows of a matrix over positions: those that are kept stay as they are."""
    model = mixed()
    x = np.random.default_rng(0).normal(size=(200, 6, 5)).astype("float32")
    result = kp.prune_channels(model, ratios={"stream": 0.5}, compensate=x)
    assert [row.layer for row in result.report.compensated] == ["out"]
