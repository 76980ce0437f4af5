"""Subclassed models as in Keras's own guides: layers without names, a `fit` of their own, attributes."""

import copy
import pickle

import keras
import numpy as np
import pytest
from support.zoo import BACKEND, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core

X = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
Y = X[:, :3]


@keras.saving.register_keras_serializable("automatic")
class Block(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(8)]

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


@keras.saving.register_keras_serializable("automatic")
class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.block, self.last = keras.layers.Dense(8), Block(), keras.layers.Dense(3)

    def call(self, x):
        return self.last(self.block(self.first(x)))


def net():
    model = Net()
    model(X[:1])
    return model


def outputs(model):
    return keras.ops.convert_to_numpy(model(X))


def assert_same(model, other):
    assert isinstance(other, kp.masking.PrunedModel)
    np.testing.assert_array_equal(outputs(other), outputs(model))
    pairs = list(zip(find_masked(model), find_masked(other), strict=True))
    assert len(pairs) == 4
    for old, new in pairs:
        assert old.name == new.name
        np.testing.assert_array_equal(value(new.mask), value(old.mask))
        assert (old.movement is None) == (new.movement is None)
        assert (old.shared is None) == (new.shared is None)


def from_file(model, path):
    model.save(path / "model.keras")
    keras.layers.Dense(1)  # as in another process, Keras's numbers of names have gone on
    return keras.saving.load_model(path / "model.keras")


WAYS = {
    "file": from_file,
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_has_the_masks(way, tmp_path):
    model = kp.prune_weights(net(), 0.5)
    other = WAYS[way](model, tmp_path)
    assert_same(model, other)
    other.compile("adam", "mse")
    other.fit(X, Y, batch_size=8, verbose=0)
    for old, new in zip(find_masked(model), find_masked(other), strict=True):
        np.testing.assert_array_equal(value(new.weight) != 0, value(old.mask) != 0)


def test_movement_clusters_and_unmasked_layers_come_back(tmp_path):
    model = net()
    model = kp.wrap_pruning(model, layers=lambda layer: layer is not model.last, movement=True)
    model = kp.cluster_weights(model, 4, layers=lambda layer: layer is model.first)
    other = from_file(model, tmp_path)
    for old, new in zip(find_masked(model), find_masked(other), strict=True):
        assert (new.movement is None, new.shared is None) == (old.movement is None, old.shared is None)
    assert len(find_masked(other)) == 3
    np.testing.assert_array_equal(outputs(other), outputs(model))


def test_layers_of_one_name_are_told_apart(tmp_path):
    @keras.saving.register_keras_serializable("automatic")
    class Twins(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.a, self.b = keras.layers.Dense(8, name="same"), keras.layers.Dense(3, name="same")

        def call(self, x):
            return self.b(self.a(x))

    model = Twins()
    model(X[:1])
    model = kp.prune_weights(kp.wrap_pruning(model, layers=lambda layer: layer.units == 3), 0.5)
    other = from_file(model, tmp_path)
    assert [weight.weight is other.b.kernel for weight in find_masked(other)] == [True]
    np.testing.assert_array_equal(outputs(other), outputs(model))


def test_criteria_that_copy_the_model_work():
    model = kp.prune_weights(net(), 0.5, importance="wanda", data=X)
    assert kp.summary(model).prunable_sparsity == pytest.approx(0.5, abs=0.02)


def test_the_state_tree_has_the_masks():
    first, second = kp.prune_weights(net(), 0.5), kp.wrap_pruning(net())
    for model in (first, second):
        model.compile("adam", "mse")
    tree = first.get_state_tree(value_format="numpy_array")
    paths = {weight.mask.path for weight in find_masked(first)}
    assert len(paths) == 4
    assert all(path.endswith("pruning_masks/kernel_mask") for path in paths)
    assert "pruning_masks" in str(tree["non_trainable_variables"])


@pytest.mark.skipif(BACKEND != "torch", reason="of torch")
def test_state_dicts_have_the_masks():
    def make():
        keras.backend.clear_session()
        return net()

    model, other = kp.prune_weights(make(), 0.5), kp.wrap_pruning(make())
    assert sum("kernel_mask" in key for key in model.state_dict()) >= 4
    other.load_state_dict(model.state_dict())
    assert_same(model, other)
    clustered = kp.cluster_weights(other, 4)
    assert any("_assignment" in key for key in clustered.state_dict())
    assert not any("mask" in key or "_assignment" in key for key in kp.strip_pruning(clustered).state_dict())


@keras.saving.register_keras_serializable("automatic")
class OwnFit(Net):
    def fit(self, data, epochs=1, **kwargs):
        return super().fit(*data, epochs=epochs, verbose=0, **kwargs)


class Passing(Net):
    def fit(self, *args, **kwargs):
        return super().fit(*args, verbose=0, **kwargs)


@keras.saving.register_keras_serializable("automatic")
class Renamed(Net):
    def fit(self, x, y, **kwargs):
        return super().fit(x, y, verbose=0, **kwargs)


def of(kind):
    model = kind()
    model(X[:1])
    model = kp.wrap_pruning(model)
    model.compile("adam", "mse")
    return model


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_a_fit_of_the_model_itself_keeps_its_arguments():
    model = of(OwnFit)
    history = model.fit((X, Y), epochs=2, callbacks=[kp.PruningSchedule(kp.ConstantSparsity(0.5))])
    assert len(history.history["loss"]) == 2
    assert kp.summary(model).prunable_sparsity == pytest.approx(0.5, abs=0.02)
    assert len(of(Passing).fit(X, Y, epochs=2).history["loss"]) == 2


def test_where_it_names_the_data_they_are_found_and_else_asked_for():
    schedule = kp.PruningSchedule(kp.ConstantSparsity(0.5), importance="wanda")
    model = of(Renamed)
    model.fit(X, Y, callbacks=[schedule])
    assert kp.summary(model).prunable_sparsity == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ValueError, match="pass `data`"):
        of(OwnFit).fit((X, Y), callbacks=[schedule])
    schedule = kp.PruningSchedule(kp.ConstantSparsity(0.5), importance="wanda", data=X)
    of(OwnFit).fit((X, Y), callbacks=[schedule])


class Unbuilt(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.last = kp.wrap_pruning(keras.layers.Dense(16)), keras.layers.Dense(3)

    def call(self, x):
        return self.last(self.hidden(x))


@pytest.mark.parametrize("begin", [0, 3])
def test_wrapped_layers_in_a_model_that_its_first_step_builds(begin):
    model = Unbuilt()
    model.compile("adam", "mse")
    schedule = kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.75, begin_step=begin, end_step=8), frequency=1)
    history = model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[schedule])
    assert history.history["sparsity"][-1] == 0.75
    (masked,) = find_masked(model)
    assert np.count_nonzero(value(masked.weight)) == np.count_nonzero(masked.kept()) == 32


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others build it before the first step")
def test_what_needs_the_weights_before_says_so():
    model = Unbuilt()
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"call the model on data.*Received: the unbuilt model"):
        model.fit(X, Y, verbose=0, callbacks=[kp.HoldAccuracy(monitor="loss", max_drop=1.0)])


class Scaled(keras.Model):
    def compute_loss(self, *args, **kwargs):
        return self.scale * self._more * super().compute_loss(*args, **kwargs)


def scaled():
    inputs = keras.Input((8,))
    dense = keras.layers.Dense(3)
    model = Scaled(inputs, dense(inputs))
    model.scale, model._more, model.dense, model.names = 2.0, 3.0, dense, ["a", ("b", 1)]
    model.meter, model.noise = keras.metrics.Mean(name="meter"), keras.layers.GaussianNoise(0.1)
    return model


@pytest.mark.parametrize("change", [kp.wrap_pruning, lambda model: kp.strip_pruning(kp.prune_weights(model, 0.5))])
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_a_copy_has_the_attributes_of_the_users_class(change):
    model = scaled()
    copied = change(model)
    assert isinstance(copied, Scaled)
    assert (copied.scale, copied._more, list(copied.names)) == (2.0, 3.0, ["a", ("b", 1)])
    assert copied.dense is copied.layers[1]
    assert copied.dense is not model.dense
    assert copied.meter is not model.meter
    assert copied.noise.stddev == 0.1
    assert copied.noise is not model.noise
    plain = keras.Model(copied.inputs, copied.outputs)
    losses = []
    for each in (copied, plain):
        each.compile("sgd", "mse")
        losses.append(float(np.ravel(each.test_on_batch(X, Y))[0]))
    assert losses[0] == pytest.approx(6 * losses[1], rel=1e-5)
    copied.fit(X, Y, verbose=0)
