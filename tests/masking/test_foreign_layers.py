"""Layers that hold a module of PyTorch, a SavedModel or functions of JAX: copied as they are, and named."""

import keras
import numpy as np
import pytest
from keras import layers
from support.zoo import BACKEND, batch, predict, regression, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core


def module_of_torch(tmp_path):
    import torch

    return layers.TorchModuleWrapper(torch.nn.Linear(8, 16), name="foreign", output_shape=(None, 16))


def saved_model(tmp_path):
    keras.Sequential([keras.Input((8,)), layers.Dense(16)]).export(tmp_path / "saved", verbose=False)
    return layers.TFSMLayer(str(tmp_path / "saved"), call_endpoint="serve", name="foreign")


def _product(params, inputs):
    return inputs @ params["w"]


def functions_of_jax(tmp_path):
    rng = np.random.default_rng(0)
    return layers.JaxLayer(_product, params={"w": rng.normal(size=(8, 16)).astype("float32")}, name="foreign")


def functions_of_jax_with_state(tmp_path):
    def call(params, state, inputs, training):
        return inputs @ params["w"] + state["shift"], state

    def init(rng, inputs):
        return {"w": np.ones((inputs.shape[-1], 16), "float32")}, {"shift": np.full(16, 0.5, "float32")}

    return layers.JaxLayer(call, init_fn=init, name="foreign")


MAKERS = {
    "torch": [module_of_torch],
    "tensorflow": [saved_model],
    "jax": [functions_of_jax, functions_of_jax_with_state],
}


@pytest.mark.parametrize("make", MAKERS[BACKEND])
def test_a_model_with_a_foreign_layer_is_pruned_around_it(make, tmp_path):
    inputs = keras.Input((8,))
    hidden = layers.Dense(8, activation="relu", name="first")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="last")(make(tmp_path)(hidden)))
    x = batch(model)
    before, weights = predict(model, x), [value(weight) for weight in model.weights]
    wrapped = kp.wrap_pruning(model)
    np.testing.assert_array_equal(predict(wrapped, x)[0], before[0])
    assert [weight.layer for weight in find_masked(wrapped)] == ["first", "last"]
    (skipped,) = kp.summary(wrapped).skipped
    assert skipped.name == "foreign"
    assert "register_prunable" in skipped.reason or "no weights" in skipped.reason

    pruned = kp.prune_weights(wrapped, 0.5)
    pruned.compile("sgd", "mse")
    pruned.fit(*regression(pruned), verbose=0)
    plain = kp.strip_pruning(pruned)
    np.testing.assert_allclose(predict(plain, x)[0], predict(pruned, x)[0], rtol=1e-6)
    for weight, old in zip(model.weights, weights, strict=True):  # those of the copy are its own
        np.testing.assert_array_equal(value(weight), old)
