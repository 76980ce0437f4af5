"""`compensate="weights"`: removed channels are merged into similar ones without data; each claim against NumPy."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise
from support.composites import Feedforward

import keras_prune as kp
from keras_prune.channels import merge
from keras_prune.channels.expected import Moments, expected_moments
from keras_prune.channels.merge import Merge
from keras_prune.channels.plan import ChannelPlan
from keras_prune.measurement.flat_copy import make_runnable

pytestmark = pytest.mark.core


def values(model, x):
    return ops.convert_to_numpy(model.predict_on_batch(x)).astype("float64")


def array(variable):
    return np.array(ops.convert_to_numpy(variable.value))


def inputs_of(model, size=64, seed=0):
    return np.random.default_rng(seed).normal(size=(size, *model.input_shape[1:])).astype("float32")


def plan_of(model, removed):
    return ChannelPlan(kp.analyze_channels(model).fingerprint, removed)


def multiples(layer, factor, norm=None):
    """Makes the second half of a layer's channels multiples of the first half."""
    for weight in layer.weights:
        half = weight.shape[-1] // 2
        new = array(weight)
        new[..., half:] = factor * new[..., :half]
        weight.assign(new)
    for weight in [] if norm is None else norm.weights:
        new = array(weight)
        new[half:] = new[:half]
        weight.assign(new)


def image(consumer, width=8):
    """Convolutions with normalisation, and what reads them."""
    x = inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(width, 3, padding="same", name="first")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    return randomise(keras.Model(inputs, layers.Dense(4, name="out")(consumer(x))))


def strided(x):
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="second")(x)
    return layers.Flatten()(layers.ReLU()(layers.BatchNormalization(name="norm2")(x)))


CONSUMERS = {
    "a convolution before a normalisation": strided,
    "flattened, with pooling": lambda x: layers.Flatten()(layers.MaxPooling2D()(x)),
    "a transposed convolution": lambda x: layers.Flatten()(layers.Conv2DTranspose(4, 3, strides=2)(x)),
    "an einsum": lambda x: layers.Flatten()(layers.EinsumDense("abcd,dkm->abckm", (6, 6, 2, 3), bias_axes="km")(x)),
}


@pytest.mark.parametrize("name", CONSUMERS)
def test_copies_of_channels_are_absorbed_without_data(name):
    model = image(CONSUMERS[name])
    multiples(model.get_layer("first"), 1, model.get_layer("norm"))
    before = [np.array(each) for each in model.get_weights()]
    plan, x = plan_of(model, {"first": (1, 4, 6, 7)}), inputs_of(model)
    sliced = kp.prune_channels(model, plan=plan).model
    result = kp.prune_channels(model, plan=plan, compensate="weights")
    assert np.abs(values(sliced, x) - values(model, x)).max() > 0.1
    np.testing.assert_allclose(values(result.model, x), values(model, x), rtol=1e-5, atol=1e-5)
    (row,) = result.report.compensated
    assert row.after < 1e-6 < row.before
    assert row.note == "expected, without data"
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    assert "Compensated" in str(result.report)


@pytest.mark.parametrize("shape", [(6, 6, 3), (5,)])
def test_multiples_of_channels_are_absorbed_behind_a_relu(shape):
    x = inputs = keras.Input(shape)
    layer = layers.Dense(8, activation="relu", name="first")
    x = layer(x) if len(shape) == 1 else layers.Conv2D(8, 3, activation="relu", padding="same", name="first")(x)
    x = layers.Conv2D(4, 3, padding="same")(x) if len(shape) > 1 else layers.Dense(4, use_bias=False)(x)
    model = randomise(keras.Model(inputs, x))
    multiples(model.get_layer("first"), 2.5)
    x = inputs_of(model)
    small = kp.prune_channels(model, plan=plan_of(model, {"first": (0, 2, 5, 7)}), compensate="weights").model
    np.testing.assert_allclose(values(small, x), values(model, x), rtol=1e-4, atol=1e-4)


def test_a_layer_used_twice_absorbs_copies_in_both_uses():
    one, other = keras.Input((6,)), keras.Input((6,))
    first, shared = layers.Dense(8, activation="relu", name="first"), layers.Dense(5, name="shared")
    model = randomise(keras.Model([one, other], layers.Subtract()([shared(first(one)), shared(first(other))])))
    multiples(first, 1)
    x = [np.random.default_rng(seed).normal(size=(20, 6)).astype("float32") for seed in range(2)]
    small = kp.prune_channels(model, plan=plan_of(model, {"first": (0, 1, 2, 3)}), compensate="weights").model
    np.testing.assert_allclose(values(small, x), values(model, x), atol=1e-5)


def test_the_combination_is_that_of_least_squares(monkeypatch):
    monkeypatch.setattr(merge, "RIDGE", 0.0)
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6)
    keep = np.array([True, True, False, True, False, True])
    given = np.concatenate([drawn[:, keep], np.ones((500, 1))], axis=1)
    moments = Moments(drawn.mean(axis=0), np.cov(drawn, rowvar=False, bias=True))
    found = Merge.of(moments, keep, constants=True)
    expected, *_ = np.linalg.lstsq(given, drawn[:, ~keep], rcond=None)
    np.testing.assert_allclose(np.concatenate([found.combination, found.constant[None]]), expected, atol=1e-8)
    weights = rng.normal(size=(6, 1, 3))
    errors = [np.square(each @ weights[~keep, 0]) for each in (drawn[:, ~keep], drawn[:, ~keep] - given @ expected)]
    scale = np.var(drawn @ weights[:, 0], axis=0).sum()
    np.testing.assert_allclose(found.errors(moments, weights), [each.sum() / 500 / scale for each in errors])
    without = Merge.of(moments, keep, constants=False)
    expected, *_ = np.linalg.lstsq(drawn[:, keep], drawn[:, ~keep], rcond=None)
    np.testing.assert_allclose(without.combination, expected, atol=1e-8)
    assert not without.constant.any()


def test_the_moments_are_those_of_normal_inputs():
    x = inputs = keras.Input((5,))
    x = layers.Dense(6, activation="relu", name="first")(x)
    x = layers.BatchNormalization(name="norm")(layers.Dense(4, name="second")(x))
    model = randomise(keras.Model(inputs, layers.Dense(3, activation="tanh", name="out")(x)))
    flat = make_runnable(model, {id(layer): layer.name for layer in model.layers}, activations_apart=True)
    found = expected_moments(flat)
    steps = {step.path: found[id(step.outputs[0][1])] for step in flat.steps if step.path in ("first", "second")}
    drawn = np.random.default_rng(1).normal(size=(100_000, 5)).astype("float32")
    for name, moments in steps.items():
        made = values(keras.Model(model.inputs[0], model.get_layer(name).output), drawn)
        covariance = np.cov(made, rowvar=False)
        np.testing.assert_allclose(moments.mean, made.mean(axis=0), atol=0.1 * made.std())
        assert np.abs(moments.covariance - covariance).max() < 0.1 * covariance.max()
    norm = model.get_layer("norm")
    (moments,) = [found[id(step.outputs[0][1])] for step in flat.steps if step.path == "norm"]
    np.testing.assert_allclose(moments.mean, array(norm.beta), rtol=1e-6)
    variance = array(norm.moving_variance)
    expected = np.square(array(norm.gamma)) * variance / (variance + norm.epsilon)
    np.testing.assert_allclose(np.diag(moments.covariance), expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_random_networks_come_nearer(seed):
    x = inputs = keras.Input((10,))
    for name in ("first", "second"):
        x = layers.Dense(24, activation="gelu", name=name)(x)
    model = randomise(keras.Model(inputs, layers.Dense(4, name="out")(x)), seed)
    x, plan = inputs_of(model, 200), kp.prune_channels(model, 0.25).plan
    plain, merged = (kp.prune_channels(model, plan=plan, compensate=each).model for each in (None, "weights"))
    errors = [np.square(values(small, x) - values(model, x)).sum() for small in (plain, merged)]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_weights_that_say_nothing_change_nothing(value):
    model = image(strided)
    for weight in model.get_layer("norm").weights:
        weight.assign(np.full(weight.shape, value, "float32"))
    plan = plan_of(model, {"first": (0, 1)})
    sliced, result = (kp.prune_channels(model, plan=plan, compensate=each) for each in (None, "weights"))
    for one, other in zip(sliced.model.weights, result.model.weights, strict=True):
        assert np.array_equal(array(one), array(other), equal_nan=True)


def test_channels_that_change_the_others_are_left():
    inputs = keras.Input((5,))
    x = layers.LayerNormalization(name="norm")(layers.Dense(8, activation="relu", name="first")(inputs))
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(x)))
    result = kp.prune_channels(model, 0.5, compensate="weights")
    (row,) = result.report.compensated
    assert (row.layer, row.note) == ("out", "the values of the kept channels change too: left as sliced")


def test_what_cannot_be_merged_is_left_as_sliced_and_named():
    inputs = keras.Input((6, 5))
    x = layers.Dense(8, activation="relu", name="first")(inputs)
    x = layers.LSTM(8, return_sequences=True, name="recurrent")(x)
    x = layers.Dense(8, name="behind", trainable=False)(x)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.Dense(6, activation="relu", name="wide")(layers.GlobalAveragePooling1D()(x))
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out", trainable=False)(x)))
    result = kp.prune_channels(model, 0.5, compensate="weights")
    notes = {row.layer: row.note for row in result.report.compensated}
    assert notes == {
        "recurrent": "no merging is known for a LSTM: left as sliced",
        "behind": "not trainable",
        "attention": "no merging is known for a MultiHeadAttention: left as sliced",
        "wide": "without data nothing is known of its inputs: left as sliced",
        "out": "not trainable",
    }
    sliced = kp.prune_channels(model, plan=result.plan).model
    for one, other in zip(sliced.weights, result.model.weights, strict=True):
        assert np.array_equal(array(one), array(other))


@pytest.mark.parametrize("word", ["data", "", "Weights"])
def test_other_words_are_refused(word):
    with pytest.raises(ValueError, match=f"\"weights\" for without any. Received: compensate='{word}'"):
        kp.prune_channels(image(strided), 0.5, compensate=word)


@pytest.mark.parametrize("keep_classes", [False, True])
def test_custom_layers_are_written_out_or_keep_their_class(keep_classes):
    kp.channels.register_composite(Feedforward, "units")
    model = randomise(keras.Sequential([keras.Input((8,)), Feedforward(12, name="a"), Feedforward(6, name="b")]))
    for block in model.layers:
        multiples(block.first, 3)
    asked, x = {"ratio": 0.5, "keep_classes": keep_classes}, inputs_of(model)
    plan = kp.prune_channels(model, **asked).plan
    found = {name: tuple(range(size // 2)) for name, size in (("a__first", 12), ("b__first", 6))}
    plan = ChannelPlan(plan.fingerprint, found)
    small = kp.prune_channels(model, plan=plan, keep_classes=keep_classes, compensate="weights").model
    assert any(isinstance(layer, Feedforward) for layer in small.layers) is keep_classes
    np.testing.assert_allclose(values(small, x), values(model, x), rtol=1e-4, atol=1e-4)


def test_each_step_of_an_iteration_merges():
    model = image(strided)
    steps = kp.IterativePruning(model, steps=2, ratio=0.5, compensate="weights")
    found = [result.report.compensated for _ in steps for result in steps.results[-1:]]
    assert [[row.layer for row in rows] for rows in found] == [["second", "out"]] * 2


def test_a_transposition_puts_positions_in_the_place_of_channels():
    """Even where there are as many: what is read behind it is unknown, and left as sliced."""
    inputs = keras.Input((4, 3))
    stem = layers.Dense(4, activation="tanh", name="stem")(inputs)
    x = layers.Dense(5, activation="gelu", name="wide")(layers.Permute((2, 1))(stem))
    x = layers.Permute((2, 1))(layers.Dense(4, name="narrow")(x)) + stem
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x))))
    result = kp.prune_channels(model, ratios={"stem": 0.5}, compensate="weights")
    (row,) = result.report.compensated
    assert row.layer == "out"
    assert row.note.endswith("left as sliced")
