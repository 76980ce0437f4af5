"""Stateful recurrent layers while a model is measured: samples drawn at random do not follow each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from keras_prune import _keras


def forget_states(model: keras.Model) -> list[keras.Layer]:
    """Lets stateful recurrent layers begin each sample anew, in place, and returns them; their states stay as they are.

    So they take batches of any size, too.
    """
    kinds = keras.layers.RNN, keras.layers.Bidirectional
    layers = [layer for layer in _keras.flatten(model) if isinstance(layer, kinds) and layer.stateful]
    for layer in layers:
        layer.stateful = False
    return layers


@contextmanager
def states_untouched(model: keras.Model) -> Iterator[None]:
    """The same while this holds."""
    layers = forget_states(model)
    try:
        yield
    finally:
        for layer in layers:
            layer.stateful = True
