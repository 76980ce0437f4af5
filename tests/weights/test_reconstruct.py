"""`prune_weights(reconstruct=x)`: masks as exact as ever, and kept weights that take over, on every kind of layer."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core


def sequential(shape, *parts):
    model = keras.Sequential([keras.Input(shape), *parts])
    randomise(model)
    return model


def convolutions():
    return sequential(
        (8, 8, 4),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
        layers.Conv2D(8, 3, groups=2, strides=2, activation="relu"),
        layers.SeparableConv2D(6, 2, activation="relu"),
        layers.Flatten(),
        layers.Dense(5),
    )


def attention():
    x = keras.Input((6, 8))
    y = layers.MultiHeadAttention(2, 4)(x, x)
    y = layers.LayerNormalization()(layers.Add()([x, y]))
    y = layers.Dense(8)(layers.Dense(16, activation="gelu")(y))
    model = keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(y)))
    randomise(model)
    return model


def recurrent():
    return sequential(
        (5, 4), layers.LSTM(6, return_sequences=True), layers.Bidirectional(layers.GRU(4)), layers.Dense(3)
    )


def perceptron():
    return sequential((12,), layers.Dense(24, activation="relu"), layers.Dense(16, activation="tanh"), layers.Dense(3))


MODELS = [convolutions, attention, recurrent, perceptron]


def correlated(model, size=200):
    """Inputs of fewer dimensions than they have, and some noise, as real ones are."""
    rng = np.random.default_rng(0)
    shape = model.input_shape[1:]
    count = int(np.prod(shape))
    x = rng.normal(size=(size, max(count // 3, 4))) @ rng.normal(size=(max(count // 3, 4), count)) / 3
    return (x + 0.1 * rng.normal(size=x.shape)).reshape(size, *shape).astype("float32")


def outputs(model, x):
    return ops.convert_to_numpy(model(x, training=False))


def distance(model, other, x):
    return float(np.square(outputs(model, x) - outputs(other, x)).mean())


def values(model):
    return [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("importance", [None, "magnitude"])
def test_what_is_kept_takes_over(make, importance):
    model = make()
    x = correlated(model, 120)
    before = values(model)
    plain = kp.prune_weights(model, 0.5, importance="magnitude")
    pruned = kp.prune_weights(model, 0.5, importance=importance, reconstruct=x[:90])
    for old, new in zip(find_masked(plain), find_masked(pruned), strict=True):
        assert np.count_nonzero(old.kept()) == np.count_nonzero(new.kept())
        assert not ops.convert_to_numpy(new.weight)[~new.kept()].any()
        if importance == "magnitude":
            np.testing.assert_array_equal(old.kept(), new.kept())
    assert all(np.array_equal(old, new) for old, new in zip(before, values(model), strict=True))
    fresh = x[90:]  # not only on the data that it was fitted on
    assert distance(model, pruned, fresh) < 0.6 * distance(model, plain, fresh)


def test_two_layers_by_hand():
    """NumPy's least squares, layer after layer: targets from the original, inputs from what is pruned already."""
    model = sequential((6,), layers.Dense(10, activation="relu"), layers.Dense(4))
    x = correlated(model, 400) + np.random.default_rng(1).normal(size=(400, 6)).astype("float32")
    pruned = kp.prune_weights(model, 0.5, importance="magnitude", reconstruct=x)
    read = x.astype("float64")
    original = read
    for layer, found in zip(model.layers, find_masked(pruned), strict=True):
        kernel, bias = (ops.convert_to_numpy(each).astype("float64") for each in (layer.kernel, layer.bias))
        wanted, kept = original @ kernel + bias, found.kept()
        centred = read - read.mean(axis=0)
        held = np.sqrt(1e-3 * np.square(centred).mean() * len(x))
        made = np.zeros(kernel.shape)
        for output in range(kernel.shape[1]):
            mask = kept[:, output]
            system = np.concatenate([centred[:, mask], held * np.eye(mask.sum())])
            right = np.concatenate([wanted[:, output] - wanted[:, output].mean(), held * kernel[mask, output]])
            made[mask, output] = np.linalg.lstsq(system, right, rcond=None)[0]
        offset = wanted.mean(axis=0) - read.mean(axis=0) @ made
        np.testing.assert_allclose(ops.convert_to_numpy(found.weight), made, atol=1e-4)
        np.testing.assert_allclose(ops.convert_to_numpy(found.held.layer.bias), offset, atol=1e-4)
        read, original = np.maximum(read @ made + offset, 0), np.maximum(wanted, 0)


def test_it_gains_on_choosing_by_magnitude():
    model = perceptron()
    x = correlated(model, 400)
    given, chosen = (kp.prune_weights(model, 0.7, importance=each, reconstruct=x) for each in ("magnitude", None))
    assert distance(model, chosen, x) < distance(model, given, x)


@pytest.mark.parametrize(
    "arguments",
    [
        {"selection": kp.NByM(2, 4)},
        {"selection": kp.NByM(1, 4), "sparsity": 0.6},
        {"selection": kp.Block((4, 1)), "sparsity": 0.6},
        {"selection": kp.Percentile("global"), "sparsity": 0.8},
        {"sparsity": 0.8, "targets": "erk"},
        {"sparsity": 0.8, "targets": {"dense_2": None, "dense_1": 0.4}},
        {"sparsity": 0.0},
    ],
    ids=str,
)
def test_masks_are_as_exact_as_without(arguments):
    keras.backend.clear_session()
    model = perceptron()
    plain = kp.prune_weights(model, **arguments)
    pruned = kp.prune_weights(model, **arguments, reconstruct=correlated(model))
    for old, new in zip(find_masked(plain), find_masked(pruned), strict=True):
        assert np.count_nonzero(old.kept()) == np.count_nonzero(new.kept())
        if isinstance(arguments.get("selection"), kp.NByM):
            kept = new.kept()
            assert (kept.reshape(-1, 4, kept.shape[1]).sum(axis=1) >= arguments["selection"].n).all()
        if isinstance(arguments.get("selection"), kp.Block):
            blocks = new.kept().reshape(-1, 4, new.kept().shape[1]).sum(axis=1)
            assert set(np.unique(blocks)) <= {0, 4}
    if arguments.get("targets", {}) != "erk" and "dense_2" in arguments.get("targets", {}):
        assert np.array_equal(values(model)[4], ops.convert_to_numpy(find_masked(pruned)[2].weight))


def test_a_threshold_is_applied_and_the_rest_refitted():
    model = perceptron()
    x = correlated(model)
    plain = kp.prune_weights(model, selection=kp.Threshold(0.3))
    pruned = kp.prune_weights(model, selection=kp.Threshold(0.3), reconstruct=x)
    for old, new in zip(find_masked(plain), find_masked(pruned), strict=True):
        np.testing.assert_array_equal(old.kept(), new.kept())
    assert distance(model, pruned, x) < distance(model, plain, x)


def test_pruned_weights_remain_pruned():
    model = perceptron()
    x = correlated(model)
    first = kp.prune_weights(model, 0.3)
    second = kp.prune_weights(first, 0.6, reconstruct=x)
    for old, new in zip(find_masked(first), find_masked(second), strict=True):
        assert not (new.kept() & ~old.kept()).any()
        assert np.count_nonzero(new.kept()) == max(round(new.size * 0.4), 1)


def test_statistics_become_those_of_the_data():
    """As in `prune_channels(recalibrate=x)`; those of layers that are not trainable stay, as in training."""
    parts = [layers.Dense(16), layers.BatchNormalization(), layers.ReLU(), layers.Dense(16)]
    model = sequential((6,), *parts, layers.BatchNormalization(trainable=False), layers.Dense(3))
    x = correlated(model)
    kept, renewed = (kp.prune_weights(model, 0.8, reconstruct=x, recalibrate=each) for each in (False, True))
    frozen = [each.layers[4] for each in (model, renewed)]
    norm, same, changed = (each.layers[1] for each in (model, kept, renewed))
    for name in ("moving_mean", "moving_variance"):
        assert np.array_equal(getattr(norm, name), getattr(same, name))
        assert np.array_equal(*(getattr(each, name) for each in frozen))
    products = ops.convert_to_numpy(renewed.layers[0](x)).astype("float64")
    np.testing.assert_allclose(changed.moving_mean, products.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(changed.moving_variance, products.var(axis=0), rtol=1e-3, atol=1e-6)
    fitted = kp.refit(kp.prune_weights(model, 0.8), x, original=model, recalibrate=True)
    products = ops.convert_to_numpy(fitted.layers[0](x)).astype("float64")
    np.testing.assert_allclose(fitted.layers[1].moving_mean, products.mean(axis=0), atol=1e-4)


def test_a_criterion_is_measured_on_the_same_data():
    model = perceptron()
    x = correlated(model)
    expected = kp.prune_weights(model, 0.5, importance="wanda", data=x)
    found = kp.prune_weights(model, 0.5, importance="wanda", reconstruct=x)
    for old, new in zip(find_masked(expected), find_masked(found), strict=True):
        np.testing.assert_array_equal(old.kept(), new.kept())


def test_shared_layers_are_fitted_for_all_their_uses():
    shared = layers.Dense(6)
    x, y = keras.Input((6,)), keras.Input((6,))
    model = keras.Model([x, y], layers.Add()([layers.Dense(6)(shared(x)), shared(layers.Dense(6)(y))]))
    randomise(model)
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(300, 6)).astype("float32") for _ in range(2)]
    plain, pruned = (kp.prune_weights(model, 0.4, reconstruct=each) for each in (None, data))
    errors = [np.square(outputs(model, data) - outputs(each, data)).mean() for each in (plain, pruned)]
    assert errors[1] < errors[0]


@keras.saving.register_keras_serializable("test_reconstruct")
class Own(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(12, activation="relu"), layers.Dense(3)

    def call(self, x):
        return self.second(self.first(x))


def own():
    model = Own()
    model(np.zeros((1, 8), "float32"))
    randomise(model)
    return model


def test_a_subclassed_model_is_changed_in_place():
    model, twin = own(), own()
    x = np.random.default_rng(0).normal(size=(200, 8)).astype("float32")
    twin.set_weights(model.get_weights())
    plain = own()
    plain.set_weights(model.get_weights())
    kp.prune_weights(plain, 0.5)
    assert kp.prune_weights(model, 0.5, reconstruct=x) is model
    assert [np.count_nonzero(each.kept()) for each in find_masked(model)] == [48, 18]
    assert distance(model, twin, x) < 0.8 * distance(plain, twin, x)


def test_a_subclassed_model_is_as_before_if_the_data_turn_out_bad():
    model = own()
    before = values(model)
    good = np.ones((8, 8), "float32")
    with pytest.raises(ValueError, match="must be finite"):
        kp.prune_weights(model, 0.5, reconstruct=[good, good * np.nan])
    assert not find_masked(model)
    assert all(np.array_equal(old, new) for old, new in zip(before, values(model), strict=True))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"reconstruct": np.ones((4, 5), "float32")}, ValueError, r"does not fit the inputs .* Received: x of shape"),
        ({"reconstruct": np.full((4, 12), np.nan)}, ValueError, r"must be finite. Received: x with NaN"),
        ({"reconstruct": np.ones((0, 12))}, ValueError, "Received: "),
        ({"reconstruct": "x"}, TypeError, "Received: data of type str"),
        ({"importance": "reconstruction"}, ValueError, "needs data, .* Received: reconstruct=None"),
        (
            {"importance": "reconstruction", "sparsity": None, "selection": kp.Threshold(0.1)},
            ValueError,
            r"takes a sparsity, .* Received: .*selection=Threshold\(value=0.1\)",
        ),
        ({"recalibrate": "yes"}, ValueError, "Received: recalibrate='yes'"),
    ],
    ids=["shape", "nan", "empty", "type", "no data", "threshold", "flag"],
)
def test_bad_arguments(arguments, error, message):
    model = perceptron()
    before = values(model)
    given = {"sparsity": 0.5, "reconstruct": None} | arguments
    if "importance" in arguments and "selection" in arguments:
        given["reconstruct"] = np.ones((4, 12), "float32")
    with pytest.raises(error, match=message):
        kp.prune_weights(model, **given)
    assert all(np.array_equal(old, new) for old, new in zip(before, values(model), strict=True))


def test_layers_that_cannot_be_refitted_are_named():
    model = sequential((6,), layers.Embedding(20, 8), layers.Flatten(), layers.Dense(4))
    x = np.random.default_rng(0).integers(0, 20, size=(300, 6))
    with pytest.warns(UserWarning, match="only masked. Received: 'embedding/embeddings'"):
        pruned = kp.prune_weights(model, 0.5, reconstruct=x)
    plain = kp.prune_weights(model, 0.5)
    old, new = find_masked(plain)[0], find_masked(pruned)[0]
    assert np.array_equal(ops.convert_to_numpy(old.weight), ops.convert_to_numpy(new.weight))


def test_too_few_samples_are_said_and_constant_inputs_are_not_kept():
    model = perceptron()
    with pytest.warns(UserWarning, match=r"fewer rows of data .* 8 rows for 12 inputs"):
        pruned = kp.prune_weights(model, 0.5, reconstruct=correlated(model, 8))
    assert np.isfinite(outputs(pruned, correlated(model))).all()
    x = correlated(model)
    x[:, 3] = 2.0  # what it adds is a constant, which the bias takes over
    kept = find_masked(kp.prune_weights(model, 0.5, reconstruct=x))[0].kept()
    assert not kept[3].any()
