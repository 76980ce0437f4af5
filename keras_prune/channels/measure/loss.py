"""The loss that importance is measured by, computed on a copy of the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_prune import keras_internals
from keras_prune.channels.measure.batches import shapes


def find_loss(model: keras.Model, loss: Any) -> tuple[Any, Any]:
    """The loss and its weights: what was passed, or what the model was compiled with.

    Raises:
        ValueError: Neither is there.
    """
    if loss is not None:
        return loss, None
    found = keras_internals.compiled_loss(model)
    if found is None:
        raise ValueError(
            f"This importance needs a loss: pass `loss`, or compile the model '{model.name}' with one. "
            "Received: loss=None"
        )
    return found


def compile_loss(copy: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Any, loss_weights: Any) -> None:
    """Compiles a copy. Without XLA where Keras runs without: it is not worth compiling for a few batches."""
    jit = keras.backend.backend() == "jax"
    copy.compile(optimizer, loss=loss, loss_weights=loss_weights, jit_compile=jit, auto_scale_loss=False)


@contextmanager
def no_loss(copy: keras.Model, targets: Any) -> Iterator[None]:
    """Says of an error in the loss, whatever the backend calls it, which shapes met."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"The loss cannot be computed from outputs of shape {shapes(copy.output)} and these targets ({error}). "
            f"Received: y of shape {shapes(targets)}"
        ) from error
