"""Steps that other packages add before an export: `keras_prune` strips its masks."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

_STEPS: "list[Callable[[keras.Model], keras.Model]]" = []


def register_preparation(step: "Callable[[keras.Model], keras.Model]") -> "Callable[[keras.Model], keras.Model]":
    """Register a step that is applied to every model before it is exported or checked by `check_sparse_speed`.

    Steps run in the order in which they were registered; one that is registered again runs once. `keras_prune`
    registers the one that writes masks into the weights and removes them.

    Args:
        step: Function `model -> model`. It must not change the model that it gets, and must return it, or another
            model with the same inputs and equal outputs.

    Returns:
        `step`, so that this can be a decorator.

    Raises:
        TypeError: `step` cannot be called.

    Example:

    ```python
    import tflite_export

    @tflite_export.register_preparation
    def show(model):
        print(f"{model.name}: {model.count_params():,} parameters")
        return model
    ```
    """
    if not callable(step):
        raise TypeError(f"`step` must be a function `model -> model`. Received: step={step!r}")
    if step not in _STEPS:
        _STEPS.append(step)
    return step


def prepare(model: "keras.Model") -> "keras.Model":
    """Return the model after all registered steps; the user's own is unchanged.

    Raises:
        TypeError: A step returned something else.
    """
    import keras

    for step in _STEPS:
        model = step(model)
        if not isinstance(model, keras.Model):
            raise TypeError(f"A preparation must return a keras.Model. Received: {step!r} returned {model!r}")
    return model
