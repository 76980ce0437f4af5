"""Training through `keras_prune.tfmot`, step by step."""

import keras
import numpy as np

import keras_prune.tfmot as sparsity
from keras_prune.masking.masked_weights import find_masked


def fit(model, data, steps, batch_size=16, **kwargs):
    """Trains for `steps` steps; returns the sparsity after each."""
    x, y = data
    if not model.compiled:
        model.compile(keras.optimizers.Adam(0.01), keras.losses.MeanSquaredError())
    seen = []
    after = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["sparsity"]))
    epochs = -(-steps * batch_size // len(x))
    callbacks = [sparsity.UpdatePruningStep(), after]
    model.fit(x, y, batch_size=batch_size, epochs=epochs, callbacks=callbacks, verbose=0, **kwargs)
    return seen


def zeros(model):
    return {weight.path: float(np.mean(~weight.kept())) for weight in find_masked(model)}
