"""`check_model`: whether channels can be followed through a model."""

from typing import Any

import keras

from keras_prune import _keras
from keras_prune.masking.checks import check_built
from keras_prune.masking.masked_weights import find_masked


def check_model(model: Any) -> None:
    """Raise unless channels can be followed through this model.

    Raises:
        TypeError: It is no Keras model.
        ValueError: It is not built, subclassed, or has pruning masks.
    """
    check_built(model)
    if not _keras.is_graph(model) or not _keras.has_graph(model):
        raise ValueError(
            "Channels can be followed only through Sequential and Functional models: a subclassed model does not say "
            f"what it computes. {_advice(model)}Received: '{model.name}' of class {type(model).__name__}"
        )
    if find_masked(model):
        raise ValueError(
            "The model has pruning masks; remove them with `strip_pruning` first, and wrap the result again. "
            f"Received: the model '{model.name}'"
        )


def _advice(model: keras.Model) -> str:
    """What to pass instead of a Functional model with a constructor of its own, as keras_hub's are."""
    if not isinstance(model, _keras.FUNCTIONAL):
        return ""
    return (
        "It has a graph, but a class of its own, which other sizes cannot have: pass a plain model of its layers, "
        "`keras.Model(model.input, model.output)`. "
    )
