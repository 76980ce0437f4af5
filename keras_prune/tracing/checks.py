"""`check_model`: whether channels can be followed through a model."""

from typing import Any

from keras_prune import _keras
from keras_prune.masking.checks import check_built
from keras_prune.masking.masked_weights import find_masked


def check_model(model: Any) -> None:
    """Raise unless channels can be followed through this model, or through what it is written out as.

    Raises:
        TypeError: It is no Keras model.
        ValueError: It is not built, or has pruning masks.
    """
    check_built(model)
    if _keras.is_graph(model) and not _keras.has_graph(model):
        raise ValueError(
            "A Sequential model in it has no input shape, so that its graph is unknown: begin it with `keras.Input`. "
            f"Received: '{model.name}' of class {type(model).__name__}"
        )
    if find_masked(model):
        raise ValueError(
            "The model has pruning masks; remove them with `strip_pruning` first, and wrap the result again. "
            f"Received: the model '{model.name}'"
        )
