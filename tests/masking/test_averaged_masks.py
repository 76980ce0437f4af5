"""Masks that are not 0 or 1, as in averaged weights: what is not 0 is kept, and training takes nothing of it."""

import warnings

import keras
import numpy as np
import pytest
from support.zoo import BACKEND, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked, stateless_apply_masks

pytestmark = pytest.mark.core

X = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
Y = X[:, :3]
OTHERS = "Masks must be 0 or 1.*Received: [0-9]+ other numbers in the mask of "


def mlp():
    layers = [keras.Input((8,)), keras.layers.Dense(16, name="a"), keras.layers.Dense(3, name="b")]
    return keras.Sequential(layers, name="mlp")


@keras.saving.register_keras_serializable("averaged")
class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a, self.b = keras.layers.Dense(16, name="a"), keras.layers.Dense(3, name="b")

    def call(self, x):
        return self.b(self.a(x))


def net():
    model = Net()
    model(X[:1])
    return model


def two(make=mlp):
    """Two models of the same weights with different masks, and the mean of their weights."""
    first = kp.prune_weights(make(), 0.5)
    second = kp.prune_weights(make(), 0.5, importance="random")
    return first, second, [(a + b) / 2 for a, b in zip(first.get_weights(), second.get_weights(), strict=True)]


def unions(*models):
    return [np.logical_or(*(each.kept() for each in pair)) for pair in zip(*map(find_masked, models), strict=True)]


def put(model, weights):
    """Writes the values past `set_weights`, as a federated server or another library may."""
    for variable, given in zip(model.weights, weights, strict=True):
        variable.assign(given)


def kernels(model):
    return [np.array(value(each.weight)) for each in find_masked(model)]


def assert_kept(model, expected, kept):
    for now, old, mask in zip(kernels(model), expected, kept, strict=True):
        np.testing.assert_array_equal(now, np.where(mask, old, 0))
    for weight, mask in zip(find_masked(model), kept, strict=True):
        np.testing.assert_array_equal(value(weight.mask), mask)


@pytest.mark.parametrize("make", [mlp, net])
def test_the_mean_of_two_models_keeps_what_one_keeps_and_training_takes_nothing_of_it(make):
    first, second, mean = two(make)
    model = kp.wrap_pruning(make())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.set_weights(mean)
    (said,) = (str(each.message) for each in caught if "Masks must" in str(each.message))
    assert "in the mask of 'a/kernel', and in 1 more" in said
    expected = kernels(model)
    np.testing.assert_array_equal(expected[0], mean[0])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    assert_kept(model, expected, unions(first, second))


@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, keras.optimizers.Adam])
def test_fit_reads_masks_that_were_assigned_one_by_one(optimizer):
    first, second, mean = two()
    model = kp.wrap_pruning(mlp())
    put(model, mean)
    expected = kernels(model)
    model.compile(optimizer(0.0), "mse")
    with pytest.warns(UserWarning, match=OTHERS):
        model.fit(X, Y, batch_size=8, verbose=0)
    assert_kept(model, expected, unions(first, second))


def test_so_does_training_on_batches():
    first, second, mean = two()
    model = kp.wrap_pruning(mlp())
    put(model, mean)
    expected = kernels(model)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    with pytest.warns(UserWarning, match=OTHERS):
        model.train_on_batch(X, Y)
    for _ in range(3):
        model.train_on_batch(X, Y)
    assert_kept(model, expected, unions(first, second))


def in_a_keras_file(model, path):
    model.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras")


def in_a_weights_file(model, path):
    model.save_weights(path / "model.weights.h5")
    loaded = kp.wrap_pruning(mlp())
    loaded.load_weights(path / "model.weights.h5")
    return loaded


@pytest.mark.parametrize("load", [in_a_keras_file, in_a_weights_file])
def test_files_with_such_masks_load_as_zeros_and_ones(load, tmp_path):
    first, second, mean = two()
    model = kp.wrap_pruning(mlp())
    put(model, mean)
    expected = kernels(model)
    with pytest.warns(UserWarning, match=OTHERS):
        loaded = load(model, tmp_path)
    assert_kept(loaded, expected, unions(first, second))


def test_custom_loops_keep_them_too():
    first, second, mean = two()
    model = kp.wrap_pruning(mlp())
    put(model, mean)
    expected, kept = kernels(model), unions(first, second)
    trainable = [each.value for each in model.trainable_variables]
    masked = stateless_apply_masks(model, trainable, [each.value for each in model.non_trainable_variables])
    found = [each for each in masked if len(each.shape) == 2]
    for now, old, mask in zip(found, expected, kept, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(now), np.where(mask, old, 0))
    kp.apply_masks(model)
    for now, old in zip(kernels(model), expected, strict=True):
        np.testing.assert_array_equal(now, old)


def test_what_is_stripped_summed_up_and_pruned_on_sees_the_same():
    first, second, mean = two()
    model = kp.wrap_pruning(mlp())
    put(model, mean)
    expected = kernels(model)
    fraction = sum(np.count_nonzero(~mask) for mask in unions(first, second)) / sum(each.size for each in expected)
    assert kp.summary(model).prunable_sparsity == pytest.approx(fraction)
    plain = kp.strip_pruning(model)
    for layer, old in zip((plain.get_layer("a"), plain.get_layer("b")), expected, strict=True):
        np.testing.assert_array_equal(value(layer.kernel), old)
    again = kp.prune_weights(model, 0.75)
    for now, old, weight in zip(kernels(again), expected, find_masked(again), strict=True):
        np.testing.assert_array_equal(now, np.where(weight.kept(), old, 0))


def test_clusters_keep_their_means():
    model = kp.cluster_weights(kp.prune_weights(mlp(), 0.5), 4, preserve_zeros=True)
    before = kernels(model)
    put(model, [each * 0.5 if "mask" in variable.path else each
                for variable, each in zip(model.weights, model.get_weights(), strict=True)])  # fmt: skip
    kp.apply_masks(model)
    for now, old in zip(kernels(model), before, strict=True):
        np.testing.assert_array_equal(now, old)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    with pytest.warns(UserWarning, match=OTHERS):
        model.fit(X, Y, batch_size=8, verbose=0)
    for now, old in zip(kernels(model), before, strict=True):
        np.testing.assert_array_equal(now, old)


@pytest.mark.skipif(BACKEND != "torch", reason="of torch")
def test_state_dicts_with_such_masks():
    first, second, mean = two()
    model, mixed = kp.wrap_pruning(mlp()), kp.wrap_pruning(mlp())
    put(mixed, mean)
    model.load_state_dict(mixed.state_dict())
    expected = kernels(model)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    with pytest.warns(UserWarning, match=OTHERS):
        model.fit(X, Y, batch_size=8, verbose=0)
    assert_kept(model, expected, unions(first, second))
