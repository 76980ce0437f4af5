"""On TensorFlow the optimizer itself writes `weight * mask`, where nothing can write the weight after it."""

import contextlib

import keras
import numpy as np
import pytest

from keras_prune import _keras, prune_weights
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only on TensorFlow")

X = np.random.default_rng(0).normal(size=(24, 6)).astype("float32")
Y = X[:, :2] ** 2


def train(optimizer, build=None, dirty=True, **fit):
    """Trains a pruned model some steps, from weights that were set to ones, pruned ones too."""
    keras.utils.set_random_seed(1)
    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(2)])
    model = prune_weights(dense if build is None else build(), 0.5)
    model.compile(optimizer, "mse")
    for weight in find_masked(model) if dirty else ():
        weight.weight.assign(np.ones(weight.weight.shape))
    model.fit(X, Y, batch_size=8, epochs=1, shuffle=False, verbose=0, **fit)
    return model


@pytest.fixture
def folded(monkeypatch):
    """The sets that `masked_writes` gave, of what it wrote."""
    seen, real = [], _keras.masked_writes

    @contextlib.contextmanager
    def spy(*args):
        with real(*args) as written:
            yield written
            seen.append(set(written))

    monkeypatch.setattr(_keras, "masked_writes", spy)
    return seen


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05, weight_decay=0.01),
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.05, global_clipnorm=1.0),
    "amsgrad": lambda: keras.optimizers.AdamW(0.05, amsgrad=True),
    "ema": lambda: keras.optimizers.Adam(0.05, use_ema=True),
    **{
        name: lambda name=name: getattr(keras.optimizers, name)(0.05)
        for name in ("Adadelta", "Ftrl", "Lion", "Muon")  # one for each way to write
    },
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains_as_with_a_product_after_it(name, folded, monkeypatch):
    model = train(OPTIMIZERS[name]())
    assert folded[-1] == {id(weight.weight) for weight in find_masked(model)}
    assert "assign_sub" not in vars(model.optimizer)

    monkeypatch.setattr(_keras, "masked_writes", lambda *args: contextlib.nullcontext(set()))
    other = train(OPTIMIZERS[name]())
    for mine, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for weight in find_masked(model):
        assert not weight.weight.numpy()[~weight.kept()].any()


class AddsNoise(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate)
        variable.assign_add(keras.ops.ones(variable.shape))


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)
        self.build((None, 6))

    def build(self, shape):
        self.dense.build(shape)
        self.built = True

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        logs = super().train_step(data)
        self.dense.kernel.assign_add(keras.ops.ones(self.dense.kernel.shape))
        return logs


def constrained():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, kernel_constraint=lambda weight: weight + 1.0)])


def embedded():
    layers = [keras.Input((6,)), keras.layers.Embedding(9, 4), keras.layers.Flatten(), keras.layers.Dense(2)]
    return keras.Sequential(layers)


@pytest.mark.parametrize(
    ("optimizer", "build"),
    [
        (lambda: keras.optimizers.SGD(0.05), constrained),
        (lambda: keras.optimizers.SGD(0.05), OwnStep),
        (lambda: AddsNoise(0.05), None),
        (lambda: keras.optimizers.Adam(0.05, gradient_accumulation_steps=4), None),
        (lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_overwrite_frequency=1), None),
        (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05)), None),
    ],
)
def test_what_may_write_after_the_optimizer_is_masked_after_it(optimizer, build, folded):
    model = train(optimizer(), build)
    assert not any(folded)
    for weight in find_masked(model):
        assert not weight.weight.numpy()[~weight.kept()].any()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_rows_of_an_embedding_are_masked_too(optimizer, monkeypatch):
    monkeypatch.setattr("test_masked_writes.X", np.abs(X).astype("int32"))  # few rows are read
    model = train(optimizer, embedded)
    for weight in find_masked(model):
        assert not weight.weight.numpy()[~weight.kept()].any()
        assert weight.weight.numpy()[weight.kept()].any()
