"""Training loops of one's own, as the docs describe them, on each backend."""

import keras
import numpy as np
import pytest
from support.zoo import BACKEND, mlp, regression, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.selection.top_k import count_kept

pytestmark = pytest.mark.core


def check(model, sparsity):
    for weight in find_masked(model):
        assert weight.kept().sum() == count_kept(weight.size, sparsity)
        assert (value(weight.weight)[~weight.kept()] == 0).all()


def prepared():
    model = kp.wrap_pruning(mlp())
    pruning = kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.8, end_step=12), frequency=4)
    pruning.set_model(model)
    x, y = regression(model, 8)
    return model, pruning, x, y, keras.optimizers.Adam(0.01)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a loop with TensorFlow's tape")
def test_tensorflow_loop():
    import tensorflow as tf

    model, pruning, x, y, optimizer = prepared()
    optimizer.build(model.trainable_variables)
    for step in range(1, 15):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        pruning.after_step(step)
        for weight in find_masked(model):
            assert (value(weight.weight)[~weight.kept()] == 0).all()
    check(model, 0.8)


@pytest.mark.skipif(BACKEND != "torch", reason="a loop with PyTorch's autograd")
def test_torch_loop():
    import torch

    model, pruning, x, y, _ = prepared()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(1, 15):
        optimizer.zero_grad()
        loss = ((model(x, training=True) - torch.as_tensor(y)) ** 2).mean()
        loss.backward()
        optimizer.step()
        pruning.after_step(step)
    check(model, 0.8)


@pytest.mark.skipif(BACKEND != "jax", reason="a loop with JAX's pure functions")
def test_jax_loop():
    import jax

    model, pruning, x, y, optimizer = prepared()
    optimizer.build(model.trainable_variables)

    def loss(trainable, non_trainable, x, y):
        prediction, non_trainable = model.stateless_call(trainable, non_trainable, x, training=True)
        return ((prediction - y) ** 2).mean(), non_trainable

    gradient = jax.value_and_grad(loss, has_aux=True)

    @jax.jit
    def train_step(trainable, non_trainable, state, x, y):
        (_, non_trainable), gradients = gradient(trainable, non_trainable, x, y)
        trainable, state = optimizer.stateless_apply(state, gradients, trainable)
        return kp.stateless_apply_masks(model, trainable, non_trainable), non_trainable, state

    def read():
        return [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]

    state = [v.value for v in optimizer.variables]
    for step in range(1, 15):
        trainable, non_trainable = read()
        trainable, non_trainable, state = train_step(trainable, non_trainable, state, x, y)
        for variable, new in zip(model.trainable_variables, trainable, strict=True):
            variable.assign(new)
        for weight in find_masked(model):  # the compiled step saw today's masks, not those of its first trace
            assert (value(weight.weight)[~weight.kept()] == 0).all()
        pruning.after_step(step)
    check(model, 0.8)


def test_apply_masks_after_assigning_weights():
    model = kp.prune_weights(mlp(), 0.5)
    for weight in find_masked(model):
        weight.weight.assign(np.full(weight.weight.shape, -1.0, "float32"))
    kp.apply_masks(model)
    for weight in find_masked(model):
        stored = value(weight.weight)
        assert (stored[~weight.kept()] == 0).all()
        assert not np.signbit(stored[~weight.kept()]).any()
        assert (stored[weight.kept()] == -1).all()


def test_after_step_without_a_compiled_model_needs_the_step():
    pruning = prepared()[1]
    with pytest.raises(ValueError, match="pass `step`"):
        pruning.after_step()
