"""`compensate=`: what is left takes over the work of the removed channels; each claim against NumPy."""

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


def values(model, x):
    return ops.convert_to_numpy(model.predict_on_batch(x)).astype("float64")


def inputs_of(shape, size=64, seed=0):
    return np.random.default_rng(seed).normal(size=(size, *shape)).astype("float32")


def plan_of(model, removed):
    return ChannelPlan(kp.analyze_channels(model).fingerprint, removed)


def twice(layer, names):
    """Makes the second half of a layer's channels copies of the first, in all of these weights."""
    for name in names:
        weight = getattr(layer, name)
        array = np.array(ops.convert_to_numpy(weight.value))
        half = array.shape[-1] // 2
        array[..., half:] = array[..., :half]
        weight.assign(array)


def convolutional(use_bias=True):
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=use_bias, name="first")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(6, 3, strides=2, use_bias=use_bias, name="second")(x)
    x = layers.BatchNormalization(name="norm2")(x)
    x = layers.Activation("relu")(x)
    x = layers.Flatten()(x)
    return randomise(keras.Model(inputs, layers.Dense(4, activation="tanh", name="out")(x)))


@pytest.mark.parametrize("use_bias", [True, False])
def test_copies_of_channels_are_absorbed(use_bias):
    model = convolutional(use_bias)
    twice(model.get_layer("first"), ["kernel", "bias"] if use_bias else ["kernel"])
    twice(model.get_layer("norm"), ["gamma", "beta", "moving_mean", "moving_variance"])
    x, before = inputs_of((8, 8, 3)), [np.array(each) for each in model.get_weights()]
    plan = plan_of(model, {"first": (4, 5, 6, 7)})
    sliced = kp.prune_channels(model, plan=plan).model
    result = kp.prune_channels(model, plan=plan, compensate=x)
    fresh = inputs_of((8, 8, 3), seed=1)
    assert np.abs(values(sliced, fresh) - values(model, fresh)).max() > 0.1
    np.testing.assert_allclose(values(result.model, fresh), values(model, fresh), atol=1e-5)
    (row,) = result.report.compensated  # what comes after it is right as it is
    assert (row.layer, row.note) == ("second", "")
    assert row.after < 1e-8 < row.before
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)
    assert "Compensated" in str(result.report)


def test_a_dense_layer_has_the_weights_of_least_squares(monkeypatch):
    monkeypatch.setattr(refit, "Settings", lambda: Settings(ridge=0.0, softmax=False))
    x = inputs = keras.Input((5,))
    x = layers.Dense(6, activation="relu", name="first")(x)
    model = randomise(keras.Model(inputs, layers.Dense(3, activation="softmax", name="out")(x)))
    data = inputs_of((5,), 200)
    small = kp.prune_channels(model, plan=plan_of(model, {"first": (1, 4)}), compensate=data).model
    kept = [0, 2, 3, 5]
    hidden = values(keras.Model(inputs, x), data)
    dense = model.get_layer("out")
    kernel, bias = (np.array(ops.convert_to_numpy(each)).astype("float64") for each in (dense.kernel, dense.bias))
    given = np.concatenate([hidden[:, kept], np.ones((200, 1))], axis=1)
    expected, *_ = np.linalg.lstsq(given, hidden @ kernel + bias, rcond=None)
    found = [ops.convert_to_numpy(each) for each in (small.get_layer("out").kernel, small.get_layer("out").bias)]
    np.testing.assert_allclose(np.concatenate([found[0], found[1][None]]), expected, atol=1e-3)


def residual():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(x)
    y = layers.Conv2D(8, 3, padding="same", name="a")(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(12, 3, strides=2, padding="same", name="b")(y))
    short = layers.Conv2D(12, 1, strides=2, padding="same", name="short")(x)
    x = layers.ReLU()(layers.Add(name="add")([y, short]))
    x = layers.GlobalAveragePooling2D()(x)
    return randomise(keras.Model(inputs, layers.Dense(4, name="out")(x)))


def test_every_layer_comes_nearer_and_so_do_the_outputs():
    model, x = residual(), inputs_of((8, 8, 3), 96)
    fresh = inputs_of((8, 8, 3), seed=1)
    sliced = kp.prune_channels(model, 0.5)
    result = kp.prune_channels(model, 0.5, compensate=x)
    assert result.plan == sliced.plan
    assert [row.layer for row in result.report.compensated] == ["a", "short", "b", "out"]
    assert all(row.after < row.before for row in result.report.compensated)
    errors = [np.square(values(each.model, fresh) - values(model, fresh)).sum() for each in (sliced, result)]
    assert errors[1] < 0.3 * errors[0]


def after_the_sum(model, x):
    return values(keras.Model(model.inputs, model.get_layer("add").output), x)


@pytest.mark.parametrize("fewer", [{"sums": False}, {"sweeps": 0}])
def test_fitting_sums_and_what_a_relu_lets_through_gains(fewer, monkeypatch):
    """The last convolution before a sum makes up for the other branch, and for nothing that the ReLU takes away."""
    model, x = residual(), inputs_of((8, 8, 3), 96)
    plan = plan_of(model, {"stem": (0, 1, 2), "a": (0, 1)})
    best = kp.prune_channels(model, plan=plan, compensate=x).model
    monkeypatch.setattr(refit, "Settings", lambda: Settings(**fewer))
    other = kp.prune_channels(model, plan=plan, compensate=x).model
    target = np.maximum(after_the_sum(model, x), 0)
    errors = [np.square(np.maximum(after_the_sum(each, x), 0) - target).sum() for each in (best, other)]
    assert errors[0] < errors[1]


def test_layers_that_are_not_trainable_are_left():
    model, x = residual(), inputs_of((8, 8, 3))
    model.get_layer("out").trainable = False
    plain, result = kp.prune_channels(model, 0.5), kp.prune_channels(model, 0.5, compensate=x)
    assert result.report.compensated[-1].note == "not trainable"
    for one, other in zip(plain.model.get_layer("out").weights, result.model.get_layer("out").weights, strict=True):
        assert np.array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other))
    assert "not trainable" in str(result.report)


def test_layers_that_no_fit_is_known_of_are_named():
    inputs = keras.Input((6, 5))
    inside = keras.Sequential([keras.Input((8,)), layers.Dense(8)])
    x = layers.TimeDistributed(inside, name="each")(layers.Dense(8, name="first")(inputs))
    x = layers.Dense(6, name="wide")(layers.GlobalAveragePooling1D()(x))
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(x)))
    result = kp.prune_channels(model, 0.5, compensate=inputs_of((6, 5)))
    notes = {row.layer: row.note for row in result.report.compensated}
    assert notes["each"] == "no fit for a TimeDistributed: left as sliced"
    assert "no fit" not in notes["out"]
    assert "no fit for a TimeDistributed" in str(result)


def test_fewer_samples_than_inputs_are_told():
    model = convolutional()
    result = kp.prune_channels(model, 0.5, compensate=inputs_of((8, 8, 3), 4))
    last = result.report.compensated[-1]
    assert last.layer == "out"
    assert last.rows == 4 < last.inputs
    assert last.note.startswith("fewer rows than inputs (4 for 28)")
    assert np.isfinite(values(result.model, inputs_of((8, 8, 3)))).all()


def test_constant_inputs_change_nothing_for_the_worse():
    model = convolutional()
    result = kp.prune_channels(model, 0.5, compensate=np.ones((20, 8, 8, 3), "float32"))
    assert all(np.isfinite(row.after) and row.after <= row.before for row in result.report.compensated)
    assert np.isfinite(values(result.model, inputs_of((8, 8, 3)))).all()


def test_nothing_removed_nothing_changed():
    model = convolutional()
    result = kp.prune_channels(model, 0.0, compensate=inputs_of((8, 8, 3)))
    assert result.report.compensated == ()
    for old, new in zip(model.get_weights(), result.model.get_weights(), strict=True):
        assert np.array_equal(old, new)


def test_a_weight_used_twice_is_fitted_for_both():
    shared = layers.Dense(5, name="shared")
    one, other = keras.Input((6,)), keras.Input((6,))
    first = layers.Dense(8, activation="relu", name="first")
    out = layers.Subtract()([shared(first(one)), shared(first(other))])
    model = randomise(keras.Model([one, other], layers.Dense(2, name="out")(out)))
    x = [inputs_of((6,), 300), inputs_of((6,), 300, seed=1)]
    result = kp.prune_channels(model, ratios={"first": 0.25}, compensate=x)
    (row, *_) = result.report.compensated
    assert (row.layer, row.rows) == ("shared", 600)
    assert row.after < row.before


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.zeros((4, 9, 8, 3), "float32"), ValueError, "does not fit the inputs"),
        (np.zeros((0, 8, 8, 3), "float32"), ValueError, "at least one sample"),
        ([np.zeros((4, 8, 8, 3), "float32"), np.full((4, 8, 8, 3), np.nan, "float32")], ValueError, "must be finite"),
        (3, TypeError, "must be arrays"),
    ],
)
def test_data_that_do_not_fit(data, error, message):
    with pytest.raises(error, match=message):
        kp.prune_channels(convolutional(), 0.5, compensate=data)


def test_each_step_of_an_iteration_compensates():
    model, x = residual(), inputs_of((8, 8, 3))
    steps = kp.IterativePruning(model, steps=2, ratio=0.5, compensate=x)
    assert [bool(result.report.compensated) for _ in steps for result in steps.results[-1:]] == [True, True]


def classifier():
    x = inputs = keras.Input((6,))
    x = layers.Dense(12, activation="relu", name="first")(x)
    x = layers.Dense(12, activation="relu", name="second")(x)
    return randomise(keras.Model(inputs, layers.Dense(4, activation="softmax", name="out")(x)))


def test_the_probabilities_count_before_a_softmax(monkeypatch):
    model, x = classifier(), inputs_of((6,), 400)
    target = values(model, x)

    def divergence(result):
        return (target * (np.log(target) - np.log(values(result.model, x)))).sum()

    best = kp.prune_channels(model, 0.5, compensate=x)
    monkeypatch.setattr(refit, "Settings", lambda: Settings(softmax=False))
    plain = kp.prune_channels(model, 0.5, compensate=x)
    assert divergence(best) < divergence(plain)
    rows = [each.report.compensated[-1] for each in (best, plain)]
    assert rows[1].after <= rows[0].after < rows[0].before  # in logits least squares comes nearer


def test_statistics_are_estimated_before_the_fit():
    """The layers are fitted to what the original gives with statistics of the data; these are left as they are then."""
    model, x = convolutional(), inputs_of((8, 8, 3), 128)
    again = kp.prune_channels(model, 0.0, recalibrate=x).model
    both = kp.prune_channels(model, 0.25, compensate=x, recalibrate=x).model
    expected = kp.prune_channels(again, plan=plan_of(again, kp.prune_channels(model, 0.25).plan.removed), compensate=x)
    np.testing.assert_allclose(values(both, x), values(expected.model, x), atol=1e-3)
    alone = kp.prune_channels(model, 0.25, compensate=x).model
    errors = [np.square(values(each, x) - values(again, x)).sum() for each in (both, alone)]
    assert errors[0] < errors[1]


def test_statistics_of_layers_that_are_not_trainable_stay():
    model, x = convolutional(), inputs_of((8, 8, 3), 128)
    model.get_layer("norm").trainable = False
    result = kp.prune_channels(model, 0.25, compensate=x, recalibrate=x)
    kept = np.setdiff1d(np.arange(8), result.plan.removed["first"])
    for name in ("moving_mean", "moving_variance"):
        one, other = (getattr(each.get_layer("norm"), name) for each in (model, result.model))
        np.testing.assert_array_equal(ops.convert_to_numpy(one)[kept], ops.convert_to_numpy(other))


def test_statistics_inside_of_a_layer():
    x = inputs = keras.Input((4, 6))
    x = layers.TimeDistributed(layers.Dense(8, name="dense"), name="first")(x)
    x = layers.TimeDistributed(layers.BatchNormalization(name="inner"), name="norm")(x)
    model = randomise(keras.Model(inputs, layers.Dense(3, name="out")(x)))
    data = inputs_of((4, 6), 128)
    again = kp.prune_channels(model, 0.0, recalibrate=data).model
    result = kp.prune_channels(model, 0.5, compensate=data, recalibrate=data)
    ((_, removed),) = result.plan.removed.items()
    kept = np.setdiff1d(np.arange(8), removed)
    one, other = (ops.convert_to_numpy(each.get_layer("norm").layer.moving_variance) for each in (again, result.model))
    np.testing.assert_allclose(one[kept], other, rtol=1e-4)
