"""Training of pruned models, and what must hold meanwhile and afterwards."""

import keras
import numpy as np
from support.zoo import regression, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.selection.top_k import count_kept


class Watch(keras.callbacks.Callback):
    """Notes, whenever Keras calls it, whether a pruned weight was anything but zero."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def check(self, *args, **kwargs):
        for weight in find_masked(self.model):
            stored = value(weight.weight.value)
            self.seen.append(bool((stored[~weight.kept()] == 0).all()))

    on_train_batch_end = on_epoch_begin = on_epoch_end = on_train_end = check
    on_test_begin = on_test_batch_end = on_test_end = check


def fit(model, *callbacks, optimizer="adam", epochs=2, batch_size=8, size=64, **arguments):
    """Compiles and fits: 8 steps an epoch by default."""
    x, y = regression(model, size)
    compile_arguments = {
        name: arguments.pop(name) for name in ("jit_compile", "steps_per_execution") if name in arguments
    }
    model.compile(optimizer, "mse", **compile_arguments)
    return model.fit(x, y, epochs=epochs, batch_size=batch_size, verbose=0, callbacks=list(callbacks), **arguments)


def ramp(final=0.8, end=12, **arguments):
    return kp.PolynomialDecay(final_sparsity=final, end_step=end, **arguments)


def assert_kept(model, sparsity):
    """Exactly the asked number of every weight is kept, and the rest is exactly (plus) zero in storage."""
    for weight in find_masked(model):
        kept = weight.kept()
        assert kept.sum() == count_kept(kept.size, sparsity)
        pruned = value(weight.weight.value)[~kept]
        assert (pruned == 0).all()
        assert not np.signbit(pruned).any()
