"""Whether a model can be pruned at all."""

from typing import Any

import keras


def check_built(model: Any) -> None:
    """Raises unless this is a built model.

    Raises:
        TypeError: It is no model.
        ValueError: It is not built.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={model!r}")
    if not model.built:
        raise ValueError(
            "The model has no weights yet: call it on data, call `build`, or begin it with `keras.Input`. "
            f"Received: the unbuilt model '{model.name}'"
        )
