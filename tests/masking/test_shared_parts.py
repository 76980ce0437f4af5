"""Weights that two layers hold (tied weights): copies hold them together too, and one of the layers has the mask."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.zoo import predict, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core


def time_distributed():
    inner, inputs = layers.Dense(6, name="inner"), keras.Input((5, 6))
    return keras.Model(inputs, layers.TimeDistributed(inner, name="outer")(inputs) + inner(inputs))


def cell():
    inner, inputs = layers.GRUCell(4, name="inner"), keras.Input((5, 4))
    return keras.Model(inputs, layers.RNN(inner)(inputs) + layers.RNN(inner)(inputs))


def activation_with_weights():
    inner, inputs = layers.PReLU(name="inner"), keras.Input((4,))
    hidden = layers.Dense(4, activation=inner)(inputs)
    model = keras.Model(inputs, layers.Dense(4, activation=inner)(hidden))
    model(np.zeros((1, 4), "float32"))  # an activation is built when it is first called
    return model


class Reversed(keras.Layer):
    """Multiplies by the transposed matrix of another layer."""

    def __init__(self, other):
        super().__init__()
        self.matrix = other.kernel

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.matrix))


def tied():
    dense, inputs = layers.Dense(4, name="inner"), keras.Input((6,))
    hidden = dense(inputs)
    return keras.Model(inputs, Reversed(dense)(hidden))


@keras.saving.register_keras_serializable("test_shared_parts")
class Head(keras.Layer):
    """Holds the layer of the table, as keras_hub's `MaskedLMHead` does, and has weights of its own."""

    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table

    def build(self, shape):
        self.dense = layers.Dense(self.table.output_dim, activation="relu", name="dense")
        self.dense.build(shape)

    def call(self, inputs):
        return ops.matmul(self.dense(inputs), ops.transpose(self.table.embeddings))

    def get_config(self):
        return {**super().get_config(), "table": keras.saving.serialize_keras_object(self.table)}

    @classmethod
    def from_config(cls, config):
        return cls(**config | {"table": keras.saving.deserialize_keras_object(config["table"])})


def language_model():
    inputs = keras.Input((5,), dtype="int32")
    table = layers.Embedding(10, 6, name="table")
    return keras.Model(inputs, Head(table, name="head")(table(inputs)))


def nested_language_model():
    """The table lies in a model inside, the backbone."""
    inputs, table = keras.Input((5,), dtype="int32"), layers.Embedding(10, 6, name="table")
    backbone = keras.Model(inputs, layers.Dense(6, name="mix")(table(inputs)), name="backbone")
    tokens = keras.Input((5,), dtype="int32")
    return keras.Model(tokens, Head(table, name="head")(backbone(tokens)))


class SameKernel(layers.Dense):
    """A `Dense` that multiplies by the matrix of another one."""

    def __init__(self, other, **kwargs):
        super().__init__(other.units, **kwargs)
        self.other = [other]

    def build(self, shape):
        self._kernel = self.other[0].kernel
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")


def same_kernel():
    inputs, first = keras.Input((6,)), layers.Dense(6, name="first")
    hidden = first(inputs)
    return keras.Model(inputs, SameKernel(first, name="second")(hidden))


def behind_a_function():
    """A `Lambda` that uses the table: Keras does not know that it holds a weight."""
    inputs, table = keras.Input((5,), dtype="int32"), layers.Embedding(10, 6, name="table")
    hidden = layers.Dense(6, name="mix")(table(inputs))
    head = layers.Lambda(lambda x: ops.matmul(x, ops.transpose(table.embeddings)), output_shape=(5, 10))
    return keras.Model(inputs, head(hidden))


GRAPHS = [
    time_distributed,
    cell,
    activation_with_weights,
    tied,
    language_model,
    nested_language_model,
    same_kernel,
    behind_a_function,
]


class InPlace(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(6, name="inner")
        self.outer = layers.TimeDistributed(self.inner, name="outer")

    def call(self, inputs):
        return self.outer(inputs) + self.inner(inputs)


def in_place():
    model = InPlace()
    model(np.zeros((1, 5, 6), "float32"))
    return model


def samples(model, seed=0):
    rng, (given,) = np.random.default_rng(seed), model.inputs
    shape = (8, *given.shape[1:])
    return rng.integers(0, 10, shape) if given.dtype == "int32" else rng.normal(size=shape).astype("float32")


def scale(model):
    """Changes every weight of a model: what is shared there must be shared in a copy to compute the same then."""
    for variable in model.trainable_variables:
        variable.assign(variable.value * 1.5 + 0.25)


COPIES = {
    "wrap": kp.wrap_pruning,
    "strip": lambda model: kp.strip_pruning(kp.wrap_pruning(model)),
    "channels": lambda model: kp.prune_channels(model, 0.0).model,
    "layers": lambda model: kp.prune_layers(model, ratio=0.0).model,
}


@pytest.mark.parametrize(
    ("make", "way"),
    [(make, way) for make in GRAPHS for way in COPIES if make in GRAPHS[3:5] or way == "strip"],
)
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_a_copy_shares_what_the_model_shares(make, way):
    model = make()
    copied, x = COPIES[way](model), samples(model)
    before = predict(model, x)[0]
    np.testing.assert_allclose(predict(copied, x)[0], before, rtol=1e-6, atol=1e-6)
    assert len(copied.trainable_variables) == len(model.trainable_variables)
    scale(copied)
    np.testing.assert_array_equal(predict(model, x)[0], before)
    scale(model)
    np.testing.assert_allclose(predict(copied, x)[0], predict(model, x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "owners"),
    [
        (time_distributed, ["outer/inner/kernel"]),
        (tied, ["inner/kernel"]),
        (language_model, ["table/embeddings", "head/dense/kernel"]),
        (nested_language_model, ["backbone/table/embeddings", "backbone/mix/kernel", "head/dense/kernel"]),
        (same_kernel, ["first/kernel"]),
        (behind_a_function, ["table/embeddings", "mix/kernel"]),
    ],
)
def test_a_weight_has_one_mask_and_is_counted_once(make, owners):
    model = make()
    pruned = kp.prune_weights(model, 0.5)
    found = find_masked(pruned)
    assert [weight.path for weight in found] == owners
    report = kp.summary(pruned)
    assert report.prunable == sum(weight.size for weight in found)
    assert report.prunable_sparsity == pytest.approx(0.5, abs=0.03)
    assert report.parameters == model.count_params() == kp.summary(model).parameters
    assert kp.summary(model).prunable == report.prunable
    plain = kp.strip_pruning(pruned)
    assert plain.count_params() == model.count_params()
    assert sum(np.count_nonzero(value(weight) == 0) for weight in plain.weights) >= report.prunable_zeros
    np.testing.assert_allclose(predict(plain, samples(model))[0], predict(pruned, samples(model))[0], atol=1e-6)


def test_a_layer_whose_weights_are_masked_elsewhere_says_where():
    report = kp.summary(kp.wrap_pruning(same_kernel()))
    assert [layer.name for layer in report.masked] == ["first"]
    (skipped,) = (layer for layer in report.skipped if layer.name == "second")
    assert skipped.reason == "its weights are those of 'first'"
    assert skipped.parameters == 6


@pytest.mark.parametrize("make", [language_model, nested_language_model, same_kernel, time_distributed])
def test_the_mask_holds_in_all_layers_while_the_model_trains(make, tmp_path):
    model = make()
    x = samples(model)
    y = np.random.default_rng(1).normal(size=predict(model, x)[0].shape).astype("float32")
    wrapped = kp.wrap_pruning(model)
    wrapped.compile(keras.optimizers.Adam(0.05), "mse")
    schedule = kp.PruningSchedule(kp.ConstantSparsity(0.5), importance="taylor")
    wrapped.fit(x, y, epochs=3, verbose=0, callbacks=[schedule])
    for weight in find_masked(wrapped):
        assert (value(weight.weight)[~weight.kept()] == 0).all()
        assert weight.kept().mean() == pytest.approx(0.5, abs=0.03)
    again, plain = kp.wrap_pruning(wrapped), kp.strip_pruning(wrapped)
    for copied in (again, plain):
        assert len(copied.trainable_variables) == len(model.trainable_variables)
        np.testing.assert_allclose(predict(copied, x)[0], predict(wrapped, x)[0], atol=1e-6)


@pytest.mark.parametrize("make", [tied, language_model, same_kernel, in_place])
@pytest.mark.filterwarnings("ignore:.*pruned weights had come back")
def test_strip_writes_zeros_once_all_layers_have_their_state(make):
    """Weights that were set behind the masks, which strip must not bring back through another layer."""
    pruned = kp.prune_weights(make(), 0.5)
    for weight in find_masked(pruned):
        weight.weight.assign(np.ones(weight.weight.shape, "float32"))
    masks = [weight.kept() for weight in find_masked(pruned)]
    plain = kp.strip_pruning(pruned)
    kept = [value(weight.weight) != 0 for weight in find_masked(kp.wrap_pruning(plain))]
    for mask, nonzero in zip(masks, kept, strict=True):
        np.testing.assert_array_equal(nonzero, mask)


def test_files_and_copies_keep_the_tie(tmp_path):
    """As those of the plain model do. (Keras itself cannot load one whose table lies in a model inside.)"""
    pruned = kp.prune_weights(language_model(), 0.5)
    x = samples(pruned)
    pruned.save(tmp_path / "model.keras")
    pruned.save_weights(tmp_path / "model.weights.h5")
    other = kp.wrap_pruning(language_model())
    other.load_weights(tmp_path / "model.weights.h5")
    read = keras.saving.load_model(tmp_path / "model.keras")
    for again in (read, other, pickle.loads(pickle.dumps(pruned)), copy.deepcopy(pruned)):
        assert len(again.trainable_variables) == 3
        assert len(find_masked(again)) == 2
        np.testing.assert_array_equal(predict(again, x)[0], predict(pruned, x)[0])
        plain = kp.strip_pruning(again)
        assert plain.get_layer("head").table is plain.get_layer("table")


@pytest.mark.parametrize("layer", ["first", "second"])
def test_a_weight_is_pruned_if_one_of_its_layers_is_chosen(layer):
    pruned = kp.prune_weights(kp.wrap_pruning(same_kernel(), layers=layer), 0.5)
    assert [weight.path for weight in find_masked(pruned)] == [f"{layer}/kernel"]
    plain = kp.strip_pruning(pruned)
    assert plain.get_layer("first").kernel is plain.get_layer("second").kernel
    assert np.count_nonzero(value(plain.get_layer("first").kernel)) == 18
    more = kp.wrap_pruning(pruned)
    assert [weight.path for weight in find_masked(more)] == [f"{layer}/kernel"]
    assert find_masked(more)[0].kept().sum() == 18


def test_a_pattern_is_that_of_the_layer_with_the_mask():
    """The table is a matrix of tokens and features, however others turn it round."""
    pruned = kp.prune_weights(language_model(), selection=kp.NByM(1, 2))
    table = {weight.name: weight for weight in find_masked(pruned)}["embeddings"]
    assert (table.kept().reshape(5, 2, 6).sum(axis=1) == 1).all()


def test_clusters_of_a_weight_that_two_layers_hold():
    shared = kp.cluster_weights(same_kernel(), 4)
    plain = kp.strip_pruning(shared)
    assert plain.get_layer("first").kernel is plain.get_layer("second").kernel
    assert np.unique(value(plain.get_layer("first").kernel)).size <= 5
    one = kp.wrap_pruning(same_kernel(), layers="first")
    with pytest.raises(ValueError, match=r"choose this layer. Received: 'second' for the weight 'first/kernel'"):
        kp.cluster_weights(one, 4, layers="second")


def test_in_place_a_weight_gets_one_mask():
    model = in_place()
    pruned = kp.prune_weights(kp.wrap_pruning(model, layers="outer"), 0.5)
    assert pruned is model
    kp.wrap_pruning(model)
    assert [weight.path for weight in find_masked(model)] == ["outer/inner/kernel"]
    x = np.random.default_rng(0).normal(size=(3, 5, 6)).astype("float32")
    pruned.compile("sgd", "mse")
    pruned.fit(x, x, verbose=0)
    assert np.count_nonzero(value(model.inner.kernel)) == 18
    kp.strip_pruning(model)
    assert model.inner.kernel is model.outer.layer.kernel
    assert len(model.weights) == 2


def test_a_layer_made_from_its_configuration_cannot_share():
    def get_config(self):
        return {"other": None}

    cls = type("TFSMLayer", (Reversed,), {"get_config": get_config, "from_config": lambda config: layers.ReLU()})
    dense, inputs = layers.Dense(4, name="inner"), keras.Input((6,))
    hidden = dense(inputs)
    model = keras.Model(inputs, cls(dense)(hidden))
    before = value(dense.kernel)
    for act in (kp.wrap_pruning, kp.strip_pruning, lambda model: kp.prune_weights(model, 0.5)):
        with pytest.raises(ValueError, match=r"made from its configuration.* Received: '.*kernel', which 'inner' and"):
            act(model)
    np.testing.assert_array_equal(value(dense.kernel), before)


def test_an_activation_without_weights_may_be_held_twice():
    relu, inputs = layers.LeakyReLU(), keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(3, activation=relu)(layers.Dense(4, activation=relu)(inputs)))
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    for copied in (kp.wrap_pruning(model), kp.prune_channels(model, 0.0).model):
        np.testing.assert_array_equal(copied.predict(x, verbose=0), model.predict(x, verbose=0))
