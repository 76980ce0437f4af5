"""Masked weights that a loop of the user's updates, by an optimizer that is not Keras's or by none."""

import warnings

import keras
import numpy as np
import pytest
from support.zoo import BACKEND, mlp, regression, subclassed, value

import keras_prune as kp
from keras_prune.masking import torch_steps
from keras_prune.masking.masked_weights import find_masked
from keras_prune.masking.wrapping import stripped_for_export

pytestmark = pytest.mark.core
of_torch = pytest.mark.skipif(BACKEND != "torch", reason="optimizers of torch")
OPTIMIZERS = {
    "sgd": {"lr": 0.1, "momentum": 0.9},
    "adamw": {"lr": 0.05, "weight_decay": 0.1},
    "lbfgs": {"lr": 0.1},
}


def pruned(make):
    return kp.prune_weights(make(), 0.5)


def under_masks(model):
    return sum(int(np.count_nonzero(value(weight.weight)[~weight.kept()])) for weight in find_masked(model))


def loop_of_torch(trained, optimizer, steps=3):
    import torch

    kinds = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW, "lbfgs": torch.optim.LBFGS}
    x = np.random.default_rng(0).normal(size=(32, trained.trainable_variables[0].shape[0])).astype("float32")
    x = torch.as_tensor(x, device=trained.variables[0].value.device)
    made = kinds[optimizer](trained.parameters(), **OPTIMIZERS[optimizer])

    def closure():
        made.zero_grad()
        loss = torch.mean((trained(x) - 1) ** 2)
        loss.backward()
        return loss

    for _ in range(steps):
        made.step(closure)


@of_torch
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [mlp, subclassed])
def test_optimizers_of_torch_hold_masks(make, optimizer):
    model = pruned(make)
    before = [value(weight.weight) for weight in find_masked(model)]
    loop_of_torch(model, optimizer)
    assert under_masks(model) == 0
    for weight, old in zip(find_masked(model), before, strict=True):
        assert (value(weight.weight) != old)[weight.kept()].any()


@of_torch
def test_so_they_do_where_a_model_around_is_trained():
    model = pruned(mlp)
    outer = keras.Sequential([keras.Input(model.input_shape[1:]), model])
    loop_of_torch(outer, "sgd")
    assert under_masks(model) == 0


@of_torch
def test_clusters_hold_too():
    model = kp.cluster_weights(pruned(mlp), 4, preserve_zeros=True)
    loop_of_torch(model, "adamw")
    assert under_masks(model) == 0
    assert all(np.unique(value(weight.weight)).size <= 5 for weight in find_masked(model))


@of_torch
def test_weights_without_masks_are_left_alone():
    model = pruned(mlp)
    plain = kp.strip_pruning(model)
    loop_of_torch(plain, "sgd")
    assert any(value(each).all() for each in plain.trainable_variables)
    count = len(torch_steps._WEIGHTS)
    kept = pruned(mlp)
    assert len(torch_steps._WEIGHTS) == count + len(find_masked(kept))


def drifted(make):
    """Updated without an optimizer, which nothing can see."""
    model = pruned(make)
    for weight in find_masked(model):
        weight.weight.assign(weight.weight.value + 0.25)
    return model


@pytest.mark.parametrize("make", [mlp, subclassed])
@pytest.mark.parametrize("look", [kp.strip_pruning, stripped_for_export])
def test_what_came_back_is_said_and_set_to_zero(make, look):
    model = drifted(make)
    masks = [weight.kept().copy() for weight in find_masked(model)]
    names = [weight.path for weight in find_masked(model)]
    lost = sum(np.count_nonzero(~mask) for mask in masks)
    with pytest.warns(
        UserWarning, match=rf"^{lost:,} pruned weights had come back.*apply_masks.*Received: .*{names[0]}"
    ):
        plain = look(model)
    again = kp.wrap_pruning(plain)
    for weight, mask in zip(find_masked(again), masks, strict=True):
        np.testing.assert_array_equal(value(weight.weight) != 0, mask)


@pytest.mark.parametrize("make", [mlp, subclassed])
def test_the_summary_counts_them(make):
    model = drifted(make)
    report = kp.summary(model)
    found = [weight.come_back for layer in report.layers for weight in layer.weights]
    assert found == [np.count_nonzero(~weight.kept()) for weight in find_masked(model)]
    assert f"{found[0]:,} pruned weights came back" in str(report)
    assert report.records()[0]["come_back"] == found[0]
    kp.apply_masks(model)
    assert "came back" not in str(kp.summary(model))


def test_a_loop_of_jax_without_its_last_line_is_found():
    if BACKEND != "jax":
        pytest.skip("pure steps")
    import jax

    model = pruned(mlp)
    x, y = regression(model)
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    trainable = [each.value for each in model.trainable_variables]
    fixed = [each.value for each in model.non_trainable_variables]

    def loss(trainable):
        return keras.ops.mean((model.stateless_call(trainable, fixed, x)[0] - y) ** 2)

    gradients = jax.grad(loss)(trainable)
    trainable, _ = optimizer.stateless_apply([each.value for each in optimizer.variables], gradients, trainable)
    for variable, new in zip(model.trainable_variables, trainable, strict=True):
        variable.assign(new)
    with pytest.warns(UserWarning, match="stateless_apply_masks"):
        kp.strip_pruning(model)


def test_nothing_is_said_of_a_model_that_was_trained_as_usual():
    model = pruned(mlp)
    model.compile("adam", "mse")
    model.fit(*regression(model), verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        kp.strip_pruning(model)
        stripped_for_export(model)
