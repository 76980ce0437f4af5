"""LoRA weights and quantisation, before and after masks: a mask belongs to a variable, whatever its layer becomes."""

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
Y = X[:, :3]
TOKENS = np.random.default_rng(0).integers(0, 10, (8, 5)).astype("int32")


def mlp():
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, name="a"), keras.layers.Dense(3, name="b")])


@keras.saving.register_keras_serializable("lora")
class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a, self.b = keras.layers.Dense(16), keras.layers.Dense(3)

    def call(self, x):
        return self.b(self.a(x))


def net():
    model = Net()
    model(X[:1])
    return model


def dense(model, name):
    layer = getattr(model, name, None) or model.get_layer(name)
    return getattr(layer, "layer", layer)


def outputs(model, x=X):
    return keras.ops.convert_to_numpy(model(x))


def reloaded(model, folder):
    """The model from a file. Keras 3.15 loads no quantised subclassed model, with masks or without."""
    model.save(folder / "model.keras")
    return [keras.saving.load_model(folder / "model.keras")] if isinstance(model, keras.Sequential) else []


def trained_lora(model):
    """LoRA weights on the first layer, which change what it computes."""
    dense(model, "a").enable_lora(2, lora_alpha=3.0)
    dense(model, "a").lora_kernel_b.assign(np.full((2, 16), 0.1))
    return model


@pytest.mark.parametrize("make", [mlp, net])
def test_masks_hold_under_lora_weights(make, tmp_path):
    model = trained_lora(kp.prune_weights(make(), 0.5))
    first, second = find_masked(model)
    kept = [first.kept().copy(), second.kept().copy()]
    assert kp.summary(model).prunable_zeros == sum(np.count_nonzero(~each) for each in kept)
    model.compile("adam", "mse")
    before = value(first.weight).copy()
    model.fit(X, Y, batch_size=8, verbose=0)
    np.testing.assert_array_equal(value(first.weight), before)  # Keras froze it
    np.testing.assert_array_equal(value(second.weight) != 0, kept[1])

    with pytest.warns(UserWarning, match=r"fill what is pruned.*Received: the weight '.*kernel'"):
        model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for old, new in zip(kept, find_masked(loaded), strict=True):
        np.testing.assert_array_equal(value(new.mask), old)

    given = outputs(model)
    plain = kp.strip_pruning(model)
    assert not find_masked(plain)
    np.testing.assert_allclose(outputs(plain), given, atol=1e-6)
    assert not np.asarray(value(dense(plain, "a")._kernel))[~kept[0]].any()


@pytest.mark.parametrize("make", [mlp, net])
def test_lora_weights_that_change_nothing_are_saved_without_a_word(make, tmp_path):
    model = kp.prune_weights(make(), 0.5)
    dense(model, "a").enable_lora(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(outputs(loaded), outputs(model), atol=1e-6)
    assert not np.asarray(value(find_masked(loaded)[0].weight))[~find_masked(model)[0].kept()].any()


@pytest.mark.parametrize("make", [mlp, net])
@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
def test_quantised_weights_keep_their_zeros_and_lose_their_masks(make, tmp_path):
    model = kp.cluster_weights(kp.prune_weights(make(), 0.5), 4, preserve_zeros=True)
    kept = [weight.kept().copy() for weight in find_masked(model)]
    model.quantize("int8")
    layers = [dense(model, "a"), dense(model, "b")]
    assert [keras.backend.standardize_dtype(layer._kernel.dtype) for layer in layers] == ["int8", "int8"]
    for layer, mask in zip(layers, kept, strict=True):
        assert not value(layer._kernel)[~mask].any()
    assert not find_masked(model)
    assert not any("mask" in variable.path or "cluster" in variable.path for variable in model.variables)
    kp.summary(model)
    for loaded in reloaded(model, tmp_path):
        np.testing.assert_array_equal(outputs(loaded), outputs(model))
    given = outputs(model)
    np.testing.assert_array_equal(outputs(kp.strip_pruning(model)), given)


@needs_keras("3.13", "Model.quantize(filters)")
@pytest.mark.parametrize("make", [mlp, net])
@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
def test_a_layer_that_is_not_quantised_keeps_its_masks(make, tmp_path):
    model = kp.prune_weights(make(), 0.5)
    first, second = dense(model, "a"), dense(model, "b")
    kept = find_masked(model)[1].kept().copy()
    model.quantize("int8", filters=lambda layer: layer is not second)
    assert keras.backend.standardize_dtype(first._kernel.dtype) == "int8"
    model.compile("adam", "mse")
    model.fit(X, Y, batch_size=8, verbose=0)
    (masked,) = find_masked(model)
    assert masked.weight is second.kernel
    np.testing.assert_array_equal(value(masked.weight) != 0, kept)
    for loaded in reloaded(model, tmp_path):
        np.testing.assert_array_equal(value(find_masked(loaded)[0].mask), kept)
        np.testing.assert_allclose(outputs(loaded), outputs(model), atol=1e-6)
    given = outputs(model)
    np.testing.assert_array_equal(outputs(kp.strip_pruning(model)), given)


@pytest.mark.parametrize("make", [mlp, net])
def test_so_it_is_where_a_layer_is_quantised_by_itself(make, tmp_path):
    model = kp.prune_weights(make(), 0.5)
    dense(model, "a").quantize("int8")
    (masked,) = find_masked(model)
    assert masked.weight is dense(model, "b").kernel
    for loaded in reloaded(model, tmp_path):
        np.testing.assert_array_equal(outputs(loaded), outputs(model))
        assert len(find_masked(loaded)) == 1
    given = outputs(model)
    np.testing.assert_array_equal(outputs(kp.strip_pruning(model)), given)


@pytest.mark.parametrize("make", [mlp, net])
@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
def test_a_stripped_or_copied_model_can_be_quantised(make):
    given = outputs(kp.strip_pruning(kp.prune_weights(kp.wrap_pruning(make()), 0.5)))
    for change in (kp.strip_pruning, lambda model: model):
        keras.utils.set_random_seed(0)
        model = change(kp.prune_weights(kp.wrap_pruning(make()), 0.5))
        model.quantize("int8")
        assert keras.backend.standardize_dtype(dense(model, "a")._kernel.dtype) == "int8"
    assert given.shape == outputs(model).shape


def attention():
    inputs = keras.Input((5,), dtype="int32")
    made = keras.layers.Embedding(10, 8, name="embedding")(inputs)
    made = keras.layers.MultiHeadAttention(2, 4, name="mha")(made, made)
    made = keras.layers.GlobalAveragePooling1D()(made)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(made))


def with_lora(model):
    query = dense(model, "mha")._query_dense
    query.enable_lora(2, lora_alpha=5.0)
    query.lora_kernel_b.assign(np.full(query.lora_kernel_b.shape, 0.1))
    return model


def quantised(model):
    for layer in (dense(model, "mha")._query_dense, dense(model, "mha")._key_dense):
        layer.quantize("int8")
    return model


@pytest.mark.parametrize("change", [with_lora, quantised])
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_composite_layers_with_such_parts_are_copied_skipped_and_named(change):
    model = change(attention())
    given = outputs(model, TOKENS)
    pruned = kp.wrap_pruning(model)
    np.testing.assert_allclose(outputs(pruned, TOKENS), given, atol=1e-6)
    assert {weight.layer for weight in find_masked(pruned)} == {"embedding", "head"}
    (row,) = [row for row in kp.summary(pruned).layers if row.name == "mha"]
    assert row.reason == "'query' in it is quantised or has LoRA weights"
    np.testing.assert_allclose(outputs(kp.strip_pruning(pruned), TOKENS), given, atol=1e-6)


@pytest.mark.parametrize("change", [with_lora, quantised])
def test_composite_layers_that_get_such_parts_after_their_masks_can_be_stripped(change):
    model = change(kp.prune_weights(attention(), 0.5))
    assert len([weight for weight in find_masked(model) if weight.layer == "mha"]) == (4 if change is with_lora else 2)
    kp.summary(model)
    given = outputs(model, TOKENS)
    plain = kp.strip_pruning(model)
    np.testing.assert_allclose(outputs(plain, TOKENS), given, atol=1e-6)
    assert not find_masked(plain)
    model.compile("adam", "mse")
    model.fit(TOKENS, Y[:8], verbose=0)


def test_layers_with_lora_weights_are_skipped_and_named():
    model = mlp()
    model.get_layer("a").enable_lora(2)
    pruned = kp.wrap_pruning(model)
    assert [weight.layer for weight in find_masked(pruned)] == ["b"]
    assert "LoRA" in kp.summary(pruned).layers[0].reason


@keras.saving.register_keras_serializable("lora")
class Backbone(keras.Model):
    """A Functional model with a constructor of its own, as those of keras_hub are."""

    def __init__(self, width=8, **kwargs):
        inner = attention_of(width)
        super().__init__(inner.inputs, inner.outputs, **kwargs)
        self.width = width

    def get_config(self):
        return {"width": self.width, "name": self.name}


def attention_of(width):
    inputs = keras.Input((5,), dtype="int32")
    made = keras.layers.Embedding(10, width)(inputs)
    made = keras.layers.MultiHeadAttention(2, 4, name="mha")(made, made)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(made))


@pytest.mark.parametrize("first", ["masks", "lora"])
@pytest.mark.filterwarnings("ignore:Keras saves a kernel with its LoRA")
def test_backbones_with_lora_weights_in_their_layers_are_saved_and_loaded(first, tmp_path):
    model = with_lora(Backbone()) if first == "lora" else Backbone()
    model = kp.prune_weights(model, 0.5)
    model = model if first == "lora" else with_lora(model)
    assert len(find_masked(model)) == (2 if first == "lora" else 6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Backbone)
    np.testing.assert_allclose(outputs(loaded, TOKENS), outputs(model, TOKENS), atol=1e-5)
    for old, new in zip(find_masked(model), find_masked(loaded), strict=True):
        np.testing.assert_array_equal(value(new.mask), value(old.mask))
    given = outputs(model, TOKENS)
    plain = kp.strip_pruning(model)
    assert type(plain) is Backbone
    np.testing.assert_allclose(outputs(plain, TOKENS), given, atol=1e-6)
