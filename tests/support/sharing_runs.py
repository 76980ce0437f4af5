"""What tests of shared values need: which entries are equal, and whether that holds while a model trains."""

import keras
import numpy as np
from support.zoo import regression, value

from keras_prune.masking.masked_weights import find_masked


def kernels(model):
    return [value(weight.weight.value) for weight in find_masked(model)]


def partition(array):
    """Which entries are equal, as the place of the first of them."""
    _, first, inverse = np.unique(array, return_index=True, return_inverse=True)
    return first[inverse.ravel()]


def assert_shared(model, before, clusters=16):
    """Entries share values exactly as they did `before`, and what was zero is zero."""
    for now, old in zip(kernels(model), before, strict=True):
        assert np.unique(now[now != 0]).size <= clusters
        assert (now[old == 0] == 0).all()
        for place in np.unique(partition(old)):  # clusters may meet but never part
            assert np.unique(now.ravel()[partition(old) == place]).size == 1


class Watch(keras.callbacks.Callback):
    """Asserts, whenever Keras calls it, that values are shared as at first."""

    def __init__(self, model, clusters=16):
        super().__init__()
        self.before, self.clusters, self.seen = [k.copy() for k in kernels(model)], clusters, 0

    def check(self, *args, **kwargs):
        assert_shared(self.model, self.before, self.clusters)
        self.seen += 1

    # Not at the end of training: moving averages are in the weights there, and `fit` shares them afterwards.
    on_train_batch_end = on_epoch_end = on_test_begin = check


def fit(model, *callbacks, optimizer="adam", epochs=2, **arguments):
    x, y = regression(model)
    model.compile(optimizer, "mse", **arguments)
    model.fit(x, y, epochs=epochs, batch_size=8, verbose=0, validation_split=0.25, callbacks=list(callbacks))


def moved(model, before):
    return all(not np.array_equal(now, old) for now, old in zip(kernels(model), before, strict=True))
