"""Stateful recurrent layers while a model is measured: samples that are drawn at random do not follow each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from keras_prune import _keras


def forget_states(model: keras.Model) -> list[keras.Layer]:
    """Make stateful recurrent layers begin each sample with zeros, in place, and return them; their states are kept.

    They take batches of any size then.
    """
    kinds = keras.layers.RNN, keras.layers.Bidirectional
    layers = [layer for layer in _keras.flatten(model) if isinstance(layer, kinds) and layer.stateful]
    for layer in layers:
        layer.stateful = False
    return layers


@contextmanager
def states_untouched(model: keras.Model) -> Iterator[None]:
    """Context in which `forget_states` holds; afterwards the layers are stateful again."""
    layers = forget_states(model)
    try:
        yield
    finally:
        for layer in layers:
            layer.stateful = True
