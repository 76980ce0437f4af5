"""The model without what was removed: new layers, the same weights, and only what is still computed."""

import keras

from keras_prune.graph.copying import copy_layer, copy_model, copy_state
from keras_prune.graph.same_outputs import check_copy
from keras_prune.graph.structure import Structure
from keras_prune.layers.bypass import Left


def rebuild(structure: Structure, left: Left) -> keras.Model:
    """Return a new model of what is left; the model itself is only read.

    Args:
        structure: The graphs of the model.
        left: What is left of it.
    """
    pairs: list[tuple[keras.Layer, keras.Layer]] = []

    def copy(path: str, layer: keras.Layer) -> keras.Layer:
        pairs.append((layer, copy_layer(layer)))
        return pairs[-1][1]

    model = copy_model(structure.model, copy, left)
    for old, new in pairs:  # built only now
        copy_state(old, new)
        check_copy(old, new)
    return model
