"""Masked weights that something trains which knows nothing of masks: a custom step, a submodel alone, a loop."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.zoo import BACKEND, mlp, regression, subclassed, value

import keras_prune as kp
from keras_prune.masking.mask_constraint import MaskConstraint
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.05),
    "accumulated": lambda: keras.optimizers.Adam(0.05, gradient_accumulation_steps=2),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.05)),
    "average": lambda: keras.optimizers.Adam(0.05, use_ema=True),
    "scaled average": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.05, use_ema=True)),
    "average written back": lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_overwrite_frequency=2),
}


def step_of(optimizer, loss, variables):
    """A step of a loop on TensorFlow or torch."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
    else:
        import torch

        for variable in variables:
            variable.value.grad = None
        value = loss()
        value.backward()
        with torch.no_grad():
            optimizer.apply([variable.value.grad for variable in variables], variables)
    return value


class Distiller(keras.Model):
    """Trains a model to compute what another does. On JAX by the step of Keras, which trains both."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher = student, teacher

    def call(self, x, training=None):
        return self.student(x, training=training)

    def train_step(self, *args):
        if BACKEND == "jax":
            return super().train_step(*args)
        x = args[0][0]

        def loss():
            return ops.mean((self.student(x, training=True) - self.teacher(x)) ** 2)

        return {"loss": step_of(self.optimizer, loss, self.student.trainable_variables)}


class Adversaries(keras.Model):
    """A generator and a discriminator, each with its optimizer."""

    def __init__(self, generator, discriminator):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.others = keras.optimizers.RMSprop(0.05)

    def call(self, x, training=None):
        return self.discriminator(self.generator(x, training=training), training=training)

    def train_step(self, *args):
        if BACKEND == "jax":
            return super().train_step(*args)
        x = args[0][0]
        judged = step_of(self.others, lambda: ops.mean(self(x)), self.discriminator.trainable_variables)
        step_of(self.optimizer, lambda: -ops.mean(self(x)), self.generator.trainable_variables)
        return {"loss": judged}


def held(model):
    """Whether each weight is zero where its mask prunes, while others were trained."""
    weights = find_masked(model)
    assert weights
    for weight in weights:
        assert 0 < weight.kept().mean() < 1
        assert value(weight.weight)[weight.kept()].any()
    return all(not value(weight.weight)[~weight.kept()].any() for weight in weights)


def fitted(model, parts, optimizer="adam", **kwargs):
    """Trains `model`, whose `parts` have masks: they hold, or on JAX it is said that they do not."""
    x, y = regression(parts[0])
    model(x[:1])
    model.compile(OPTIMIZERS[optimizer](), "mse", **kwargs)
    if BACKEND == "jax":
        with pytest.warns(UserWarning, match=f"'{model.name}' has masks in it, but does not apply them.*wrap_pruning"):
            model.fit(x, y, batch_size=8, verbose=0)
    else:
        model.fit(x, y, batch_size=8, verbose=0)
        for part in parts:
            assert held(part)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_pruned_student_in_a_custom_step(optimizer):
    student = kp.prune_weights(mlp(), 0.5)
    fitted(Distiller(student, mlp()), [student], optimizer)


def test_two_pruned_models_with_an_optimizer_each():
    parts = [kp.prune_weights(mlp(), 0.5), kp.prune_weights(mlp(inputs=4), 0.5)]
    fitted(Adversaries(*parts), parts)


def test_a_pruned_model_in_a_functional_one():
    pruned = kp.prune_weights(mlp(), 0.5)
    inputs = keras.Input((12,))
    fitted(keras.Model(inputs, layers.Dense(4)(pruned(inputs))), [pruned])


class Autoencoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([keras.Input((12,)), layers.Dense(6)])
        self.decoder = keras.Sequential([keras.Input((6,)), layers.Dense(12)])

    def call(self, x):
        return self.decoder(self.encoder(x))


def test_a_submodel_of_a_pruned_model_alone():
    model = Autoencoder()
    model(np.zeros((1, 12), "float32"))
    kp.prune_weights(model, 0.5)
    fitted(model.encoder, [model.encoder])


def test_train_on_batch_of_a_model_around_a_pruned_one():
    pruned = kp.prune_weights(mlp(), 0.5)
    x, y = regression(pruned, 8)
    model = keras.Sequential([keras.Input((12,)), pruned])
    model.compile("adam", "mse")
    if BACKEND == "jax":
        with pytest.warns(UserWarning, match="does not apply them"):
            model.train_on_batch(x, y)
    else:
        model.train_on_batch(x, y)
        assert held(pruned)


@pytest.mark.skipif(BACKEND != "jax", reason="the others hold the masks in the optimizer")
def test_what_the_warning_advises_holds_the_masks():
    student = kp.prune_weights(mlp(), 0.5)
    model = Distiller(student, mlp())
    x, y = regression(student)
    model(x)
    model = kp.wrap_pruning(model, layers=lambda layer: False)
    model.compile("adam", "mse")
    model.fit(x, y, batch_size=8, verbose=0)
    assert held(student)


@pytest.mark.skipif(BACKEND == "jax", reason="a loop with a pure step has `stateless_apply_masks`")
def test_a_custom_loop_with_an_optimizer_of_keras():
    model = kp.prune_weights(mlp(), 0.5)
    x, y = (ops.convert_to_tensor(each) for each in regression(model))
    optimizer = keras.optimizers.Adam(0.05)
    for _ in range(3):
        step_of(optimizer, lambda: ops.mean((model(x, training=True) - y) ** 2), model.trainable_variables)
        assert held(model)


def test_the_constraint_of_a_weight_is_applied_before_its_mask_and_given_back():
    model = subclassed()
    plain = model.first.kernel.constraint = keras.constraints.MaxNorm(0.01)
    kp.prune_weights(model, 0.5)
    assert isinstance(model.first.kernel.constraint, MaskConstraint)
    x, y = regression_of(model)
    model.compile(OPTIMIZERS["adam"](), "mse")
    model.fit(x, y, verbose=0)
    assert held(model)
    assert np.linalg.norm(value(model.first.kernel), axis=0).max() < 0.0101
    kp.strip_pruning(model)
    assert model.first.kernel.constraint is plain
    assert model.last.kernel.constraint is None


def plain_layer():
    layer = kp.wrap_pruning(layers.Dense(4, kernel_constraint="non_neg"))
    layer.build((None, 8))
    return kp.strip_pruning(layer)


@pytest.mark.parametrize(
    "plain",
    [
        lambda: kp.strip_pruning(kp.prune_weights(mlp(), 0.5)),
        lambda: kp.strip_pruning(kp.prune_weights(subclassed(), 0.5)),
        lambda: kp.strip_pruning(kp.cluster_weights(kp.prune_weights(mlp(), 0.5), 4)),
        plain_layer,
    ],
    ids=["copied", "in place", "clusters", "layer"],
)
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_what_is_stripped_is_free_of_masks(plain):
    plain = plain()
    assert not any(isinstance(variable.constraint, MaskConstraint) for variable in plain.variables)
    kernel = next(each for each in plain.variables if each.name == "kernel")
    if isinstance(plain, keras.Model):
        kept = np.count_nonzero(value(kernel))
        assert kept < kernel.shape[0] * kernel.shape[1]
        plain.compile("adam", "mse")
        x = np.ones((8, *plain.layers[0].kernel.shape[:1]), "float32")
        plain.fit(x, np.ones((8, *plain(x).shape[1:]), "float32"), epochs=2, verbose=0)
        assert np.count_nonzero(value(kernel)) > kept
    else:
        assert isinstance(kernel.constraint, keras.constraints.NonNeg)


def regression_of(model):
    rng = np.random.default_rng(0)
    return rng.normal(size=(16, 6)).astype("float32"), rng.normal(size=(16, 3)).astype("float32")


def test_clusters_hold_in_a_custom_step():
    student = kp.cluster_weights(kp.prune_weights(mlp(), 0.5), 4)
    if BACKEND == "jax":
        return fitted(Distiller(student, mlp()), [student])
    x, y = regression(student)
    model = Distiller(student, mlp())
    model(x)
    model.compile(OPTIMIZERS["average"](), "mse")
    model.fit(x, y, batch_size=8, verbose=0)
    assert held(student)
    for weight in find_masked(student):
        assert len(np.unique(value(weight.weight)[weight.kept()])) <= 4
    return None


@pytest.mark.parametrize("optimizer", ["average", "scaled average", "average written back"])
def test_swapped_averages_are_pruned_too(optimizer, tmp_path):
    model = kp.wrap_pruning(mlp())
    x, y = regression(model)
    model.compile(OPTIMIZERS[optimizer](), "mse")
    seen = []

    class See(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            seen.append(all(not value(each.weight)[~each.kept()].any() for each in find_masked(self.model)))

    callbacks = [
        kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.8, end_step=10), frequency=2),
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        See(),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
    ]
    model.fit(x, y, batch_size=16, epochs=4, verbose=0, validation_data=(x, y), callbacks=callbacks)
    assert seen == [True] * 4
    for epoch in range(1, 5):
        loaded = keras.saving.load_model(tmp_path / f"{epoch}.keras")
        assert held(loaded)
        plain = kp.strip_pruning(loaded)
        np.testing.assert_array_equal(plain.predict(x, verbose=0), loaded.predict(x, verbose=0))


def test_the_configuration_is_read_while_another_thread_trains():
    model = kp.prune_weights(mlp(), 0.5)
    x, y = regression(model)
    model.compile("adam", "mse")
    cls, found, errors, stop = type(model), [], [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                found.append(model.get_config())
            except Exception as error:
                errors.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(100):
            assert type(model) is cls
        model.fit(x, y, batch_size=2, epochs=2, verbose=0)
    finally:
        stop.set()
        reader.join()
    assert not errors
    assert found[-1] == model.get_config()
    assert held(model)
    assert type(model).from_config(found[-1]).get_config() == found[-1]
