"""Which layers wrap_pruning takes: chosen ones, wrapped ones, kinds of the user's own, subclassed models."""

import keras
import numpy as np
import pytest
from keras import layers
from support.zoo import batch, mlp, nested, predict, regression, subclassed, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("hidden*", ["hidden0", "hidden1"]),
        (["hidden0", "output"], ["hidden0", "output"]),
        (layers.Dense, ["hidden0", "hidden1", "output"]),
        (layers.Conv2D, []),
        (lambda layer: getattr(layer, "units", 0) == 8, ["hidden1"]),
        ([layers.Conv2D, "output"], ["output"]),
    ],
)
@pytest.mark.filterwarnings("ignore:A part of `layers`")
@pytest.mark.filterwarnings("ignore:No layer of")
def test_layers_are_chosen_by_pattern_class_or_function(choice, expected):
    wrapped = kp.wrap_pruning(mlp(), layers=choice)
    assert [layer.name for layer in kp.summary(wrapped).masked] == expected


def test_patterns_reach_into_nested_models():
    assert [weight.layer for weight in find_masked(kp.wrap_pruning(nested(), layers="encoder/*"))] == ["encoder/dense"]
    assert len(find_masked(kp.wrap_pruning(nested(), layers="dense"))) == 3


def test_a_wrapped_layer_is_left_alone():
    once = kp.prune_weights(mlp(), 0.5, targets={"output": None})
    twice = kp.wrap_pruning(once)
    assert type(twice) is type(once)
    assert len(find_masked(twice)) == 3
    for old, new in zip(find_masked(once), find_masked(twice), strict=True):
        assert old.layer == new.layer
        assert new.weight is not old.weight
        np.testing.assert_array_equal(new.kept(), old.kept())
    rest = kp.wrap_pruning(kp.wrap_pruning(mlp(), layers="hidden0"))
    assert len(find_masked(rest)) == 3


def test_a_model_built_of_wrapped_layers_trains():
    model = keras.Sequential(
        [keras.Input((6,)), kp.wrap_pruning(layers.Dense(8, activation="relu")), kp.wrap_pruning(layers.Dense(3))]
    )
    model.compile("sgd", "mse")
    x, y = regression(model)
    model.fit(x, y, verbose=0, callbacks=[kp.PruningSchedule(kp.ConstantSparsity(0.5))])
    assert kp.summary(model).prunable_sparsity == 0.5


def around(pruned):
    return keras.Sequential([keras.Input((12,)), pruned, layers.Dense(4)])


@pytest.mark.parametrize("build", [keras.models.clone_model, around])
def test_models_made_of_pruned_ones_hold_the_masks_or_warn(build):
    pruned = kp.prune_weights(mlp(), 0.5)
    model = build(pruned)
    if build is keras.models.clone_model:
        model.set_weights(pruned.get_weights())
    x, y = regression(model)
    held = kp.wrap_pruning(model, layers=lambda layer: False)
    held.compile("sgd", "mse")
    held.fit(x, y, verbose=0)
    assert len(find_masked(held)) == 3
    for weight in find_masked(held):
        assert 0.4 < weight.kept().mean() < 0.6
        assert (value(weight.weight)[~weight.kept()] == 0).all()
    model(x, training=True)
    model.compile("sgd", "mse")
    model.evaluate(x, y, verbose=0)
    if keras.backend.backend() == "jax":  # where the optimizer is not given the masks
        with pytest.warns(UserWarning, match="does not apply them.*wrap_pruning"):
            model.fit(x, y, verbose=0)
    else:
        model.fit(x, y, verbose=0)
        for weight in find_masked(model):
            assert 0.4 < weight.kept().mean() < 0.6
            assert (value(weight.weight)[~weight.kept()] == 0).all()
    # A callback that prunes makes it hold them.
    again = build(kp.prune_weights(mlp(), 0.5))
    again.compile("sgd", "mse")
    again.fit(x, y, verbose=0, callbacks=[kp.PruningSchedule(kp.ConstantSparsity(0.5))])


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_a_single_layer_built_or_not():
    layer = layers.Dense(4, name="alone")
    unbuilt = kp.wrap_pruning(layer)
    assert isinstance(unbuilt, kp.masking.PruningWrapper)
    assert not layer.built
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    unbuilt(x)
    assert len(find_masked(unbuilt)) == 1
    layer(x)
    built = kp.wrap_pruning(layer)
    np.testing.assert_array_equal(value(built(x)), value(layer(x)))
    stripped = kp.strip_pruning(built)
    assert type(stripped) is layers.Dense
    np.testing.assert_array_equal(value(stripped(x)), value(layer(x)))
    relu = layers.ReLU()
    relu(x)
    assert type(kp.wrap_pruning(relu)) is layers.ReLU


@pytest.mark.parametrize(
    "make",
    [
        layers.Flatten,
        lambda: layers.Rescaling(2.0),
        lambda: layers.ZeroPadding2D(1),
        lambda: layers.Lambda(keras.ops.relu),
    ],
    ids=["Flatten", "Rescaling", "ZeroPadding2D", "Lambda"],
)
def test_a_wrapper_of_a_layer_with_nothing_to_build(make):
    x = np.ones((2, 4, 4, 3), "float32")
    wrapped = kp.masking.PruningWrapper(make())
    np.testing.assert_array_equal(value(wrapped(x)), value(make()(x)))
    built = keras.Sequential([kp.masking.PruningWrapper(make())])
    built.build((None, 4, 4, 3))
    assert find_masked(built) == []


def test_subclasses_of_known_layers_are_pruned():
    class Narrow(layers.Dense):
        pass

    model = keras.Sequential([keras.Input((6,)), Narrow(4, name="narrow")])
    assert [weight.layer for weight in find_masked(kp.wrap_pruning(model))] == ["narrow"]


class Scale(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale


def test_unknown_kinds_are_skipped_and_named():
    model = keras.Sequential([keras.Input((6,)), Scale(name="strange"), layers.Dense(2)])
    report = kp.summary(kp.wrap_pruning(model))
    (skipped,) = report.skipped
    assert skipped.name == "strange"
    assert "register_prunable" in skipped.reason
    assert "strange" in str(report)


def test_registered_and_self_declared_custom_layers_are_pruned():
    class Registered(Scale):
        pass

    class Declared(Registered):
        def get_prunable_weights(self):
            return {"gain": self.scale}

    kp.register_prunable(Registered, ["scale"])
    model = keras.Sequential([keras.Input((6,)), Registered(name="one"), Declared(name="two")])
    pruned = kp.prune_weights(model, 0.5)
    assert [(w.layer, w.name) for w in find_masked(pruned)] == [("one", "scale"), ("two", "gain")]
    assert kp.summary(pruned).prunable_sparsity == 0.5


def test_a_subclassed_model_gets_masks_in_place():
    model = subclassed()
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    before = value(model(x))
    count = len(model.weights)
    wrapped = kp.wrap_pruning(model)
    assert wrapped is model
    assert isinstance(model, kp.masking.PrunedModel)
    assert [weight.layer for weight in find_masked(model)] == ["first", "block0", "block1", "last"]
    np.testing.assert_array_equal(value(model(x)), before)
    kp.prune_weights(model, 0.5)
    pruned = value(model(x))
    assert (pruned != before).any()
    assert kp.strip_pruning(model) is model
    assert not isinstance(model, kp.masking.PrunedModel)
    assert len(model.weights) == count
    np.testing.assert_array_equal(value(model(x)), pruned)


def test_a_subclassed_model_inside_a_functional_one_is_pruned_as_one_layer():
    inputs = keras.Input((6,))
    inner = subclassed()
    model = keras.Model(inputs, layers.Dense(2, name="out")(inner(inputs)))
    x = batch(model)
    before = predict(model, x)
    wrapped = kp.wrap_pruning(model)
    assert len(find_masked(wrapped)) == 5
    assert not find_masked(model)
    np.testing.assert_array_equal(predict(wrapped, x)[0], before[0])


def test_a_subclassed_model_inside_a_functional_one_has_one_name():
    inputs = keras.Input((6,))
    inner = subclassed()
    inner.name = "inner"
    model = keras.Model(inputs, layers.Dense(2, name="out")(inner(inputs)))
    assert [layer.name for layer in kp.summary(model).layers] == ["inner", "out"]
    assert {weight.layer for weight in find_masked(kp.wrap_pruning(model, layers="inner"))} == {"inner"}
    pruned = kp.prune_weights(model, 0.5, targets={"inner": None})
    assert [bool(weight.kept().all()) for weight in find_masked(pruned)] == [True] * 4 + [False]
    with pytest.raises(ValueError, match="names a layer that the model does not have"):  # and not: nothing happens
        kp.wrap_pruning(model, layers="first")
    with pytest.raises(ValueError, match="names a layer that the model does not have"):
        kp.prune_weights(model, 0.5, targets={"inner/*": None})
