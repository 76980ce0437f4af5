"""What tests of controllers share: a metric that is a known function of the sparsity, and comparisons to the bit."""

import keras
import numpy as np
from support.zoo import Subclassed, regression, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked, masked_sparsity


class Metric(keras.callbacks.Callback):
    """Writes a metric that is a function of the model's sparsity, the epoch, and the epochs since it changed."""

    def __init__(self, function, name="val_score"):
        super().__init__()
        self.function, self.name, self.seen, self.same = function, name, [], 0

    def on_epoch_end(self, epoch, logs=None):
        sparsity = masked_sparsity(find_masked(self.model))
        self.same = self.same + 1 if self.seen and self.seen[-1] == sparsity else 1
        self.seen.append(sparsity)
        logs[self.name] = float(self.function(sparsity, epoch, self.same))


def wide():
    """8,000 weights in one array: sparsities are exact to 0.000125."""
    return kp.wrap_pruning(keras.Sequential([keras.Input((80,)), keras.layers.Dense(100, use_bias=False)]))


def fit(model, *callbacks, epochs=40, optimizer=None, size=16, **arguments):
    if isinstance(model, Subclassed):  # has no symbolic input to make data by
        rng = np.random.default_rng(0)
        x, y = (rng.normal(size=(size, width)).astype("float32") for width in (6, 3))
    else:
        x, y = regression(model, size)
    if not model.compiled:
        model.compile(optimizer or keras.optimizers.Adam(0.01), "mse")
    return model.fit(x, y, epochs=epochs, batch_size=8, verbose=0, callbacks=list(callbacks), **arguments)


def state(model):
    return [np.array(value(variable.value)) for variable in (*model.weights, *model.optimizer.variables)]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_zeros_hold(model):
    for weight in find_masked(model):
        assert (value(weight.weight.value)[~weight.kept()] == 0).all()
