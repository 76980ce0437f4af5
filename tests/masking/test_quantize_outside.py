"""Masks in a model that is quantised, or gets LoRA weights, as a part of another that has none of its own."""

import warnings

import keras
import numpy as np
import pytest
from support.versions import needs_keras
from support.zoo import value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core

X = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")


class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a, self.b = keras.layers.Dense(16, name="a"), keras.layers.Dense(8, name="b")

    def call(self, x):
        return self.b(self.a(x))


class Outer(keras.Model):
    """Knows nothing of masks."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.head = inner, keras.layers.Dense(3, name="head")

    def call(self, x):
        return self.head(self.inner(x))


def functional(inner):
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(inner(inputs)))


def subclassed(inner):
    model = Outer(inner)
    model(X[:1])
    return model


def masked(clusters=False):
    inner = Net()
    inner(X[:1])
    inner = kp.prune_weights(inner, 0.5)
    return kp.cluster_weights(inner, 4, preserve_zeros=True) if clusters else inner


def types(*layers):
    return [keras.backend.standardize_dtype(layer._kernel.dtype) for layer in layers]


@pytest.mark.parametrize("around", [functional, subclassed])
@pytest.mark.parametrize("clusters", [False, True])
def test_masked_layers_inside_are_quantised(around, clusters):
    inner = masked(clusters)
    model = around(inner)
    kept = [weight.kept().copy() for weight in find_masked(inner)]
    expected = keras.ops.convert_to_numpy(model(X))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(PruningMasks|WeightClusters)")
        model.quantize("int8")
    assert types(inner.a, inner.b, model.get_layer("head")) == ["int8"] * 3
    for layer, mask in zip((inner.a, inner.b), kept, strict=True):
        assert not value(layer._kernel)[~mask].any()
    assert not find_masked(inner)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(X)), expected, atol=0.1)
    kp.summary(inner)


@needs_keras("3.13", "Model.quantize(filters)")
@pytest.mark.parametrize("filters", ["^a$", ["^a$", "head"], lambda layer: layer.name == "a"])
@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
def test_those_that_the_filters_leave_out_keep_their_masks(filters):
    inner = masked()
    subclassed(inner).quantize("int8", filters=filters)
    assert types(inner.a, inner.b) == ["int8", "float32"]
    (left,) = find_masked(inner)
    assert left.weight is inner.b.kernel


@needs_keras("3.13", "Model.quantize(filters)")
@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
def test_a_filter_by_identity_holds_too():
    inner = masked()
    subclassed(inner).quantize("int8", filters=lambda layer: layer is not inner.b)
    assert types(inner.a, inner.b) == ["int8", "float32"]


@needs_keras("3.13", "Model.quantize(filters)")
@pytest.mark.parametrize("chosen", [lambda layer: type(layer) is keras.layers.Dense, "^[ab]$"])
@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
def test_filters_by_class_find_layers_with_masks(chosen):
    """In the pruned model itself, and in one around it whose layers with masks are wrapped."""
    inner = masked()
    inner.quantize("int8", filters=chosen)
    assert types(inner.a, inner.b) == ["int8", "int8"]
    dense = [keras.layers.Dense(16, name="a"), keras.layers.Dense(8, name="b")]
    wrapped = kp.prune_weights(keras.Sequential([keras.Input((8,)), *dense]), 0.5)
    subclassed(wrapped).quantize("int8", filters=chosen)
    assert types(*(layer.layer for layer in wrapped.layers)) == ["int8", "int8"]
    assert not find_masked(inner)
    assert not find_masked(wrapped)


def test_values_that_came_back_under_the_mask_are_not_quantised():
    inner = masked()
    first = find_masked(inner)[0]
    pruned = ~first.kept()
    first.weight.assign(np.ones(first.weight.shape))
    subclassed(inner).quantize("int8")
    assert not value(inner.a._kernel)[pruned].any()


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
def test_wrapped_layers_inside_are_quantised_once():
    inner = kp.prune_weights(
        keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, name="a"), keras.layers.Dense(8)]), 0.5
    )
    model = subclassed(inner)
    model.quantize("int8")
    assert types(inner.layers[0].layer, inner.layers[1].layer) == ["int8", "int8"]
    assert not find_masked(inner)


@pytest.mark.parametrize("around", [functional, subclassed])
def test_lora_weights_from_outside_reach_them(around):
    inner = masked()
    model = around(inner)
    for layer in model._flatten_layers():
        if hasattr(layer, "enable_lora"):
            layer.enable_lora(2)
    assert inner.a.lora_enabled
    assert inner.b.lora_enabled
    model.compile("adam", "mse")
    model.fit(X, X[:, :3], verbose=0)
    for weight in find_masked(inner):
        assert not value(weight.weight)[~weight.kept()].any()
