"""Which layers come apart when a model is written out, and which are leaves of its graph."""

from collections.abc import Container
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.tracing.rules import find_rule


def is_leaf(operation: Any) -> bool:
    """Whether a layer stays one node: Keras's own, except models and `Lambda`, and those that have a rule."""
    if not isinstance(operation, keras.Layer) or find_rule(operation) is not None:
        return True
    return _keras.is_of_keras(type(operation)) and not isinstance(operation, keras.Model | keras.layers.Lambda)


def parts_of(model: keras.Model, whole: Container[int]) -> tuple[list[keras.Layer], list[keras.Layer]]:
    """The layers of a model that come apart, and the leaves that they hold; each once.

    Args:
        model: The model.
        whole: The identities of layers that stay whole, with what is in them.
    """
    custom: list[keras.Layer] = []
    leaves: list[keras.Layer] = []
    seen: set[int] = set()
    todo = [model]
    while todo:
        layer = todo.pop()
        if id(layer) in seen or id(layer) in whole:
            continue
        seen.add(id(layer))
        if is_leaf(layer):
            leaves.append(layer)
        else:
            custom.append(layer)
            todo += _keras.sublayers(layer)
    return custom, leaves
