"""The loss of a model, computed on a copy of it."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.measurement.batches import Batch, shapes
from keras_prune.validation import NotFiniteError


def find_loss(model: keras.Model, loss: Any) -> tuple[Any, Any]:
    """The loss and its weights: those given, or those that the model was compiled with.

    Raises:
        ValueError: There are neither.
    """
    if loss is not None:
        return loss, None
    found = _keras.compiled_loss(model)
    if found is None:
        raise ValueError(
            f"This importance needs a loss: pass `loss`, or compile the model '{model.name}' with one. "
            "Received: loss=None"
        )
    return found


def compile_loss(
    copy: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Any,
    loss_weights: Any,
    metrics: Any = None,
    weighted_metrics: Any = None,
) -> None:
    """Compiles a copy. Without XLA where Keras runs without: it is not worth compiling for a few batches."""
    copy.compile(
        optimizer,
        loss=loss,
        loss_weights=loss_weights,
        metrics=metrics,
        weighted_metrics=weighted_metrics,
        jit_compile=keras.backend.backend() == "jax",
        auto_scale_loss=False,
    )


@contextmanager
def no_loss(copy: keras.Model, targets: Any) -> Iterator[None]:
    """Turns an error of the backend in the loss into one that says which shapes met."""
    try:
        yield
    except Exception as error:
        raise cannot_be_computed("The loss", targets, copy.output, error) from error


def cannot_be_computed(what: str, targets: Any, outputs: Any, error: Exception) -> ValueError:
    """The error for outputs and targets that do not fit together, whatever the backend called it."""
    return ValueError(
        f"{what} cannot be computed from outputs of shape {shapes(outputs)} and these targets ({error}). "
        f"Received: y of shape {shapes(targets)}"
    )


def mean_loss(model: keras.Model, batches: Sequence[Batch]) -> float:
    """The loss of a compiled model over all samples.

    Raises:
        ValueError: It cannot be computed, or is not finite.
    """
    total = count = 0.0
    for x, y, weight in batches:
        size = len(keras.tree.flatten(x)[0])
        model.reset_metrics()  # the loss would be a mean over all calls so far, before Keras 3.15
        with no_loss(model, y):
            found = model.test_on_batch(x, y, sample_weight=weight)
        total += size * float(found[0] if isinstance(found, list | tuple) else found)
        count += size
    if not math.isfinite(total):
        raise NotFiniteError(f"The loss must be finite. Received: loss={total / count}")
    return total / count
