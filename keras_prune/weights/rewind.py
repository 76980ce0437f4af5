"""`RewindPoint`: the state that iterative pruning rewinds to. `copy_masks`: the masks of one model in another."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune.masking.masked_weights import find_masked
from keras_prune.masking.unpruned import decide, take_charge
from keras_prune.validation import check_layer, check_step
from keras_prune.weights.snapshot import Snapshot


class RewindPoint(keras.callbacks.Callback):
    """Callback that keeps a snapshot of a model early in training, for `IterativeMagnitude` to rewind to.

    Large networks have winning tickets early in training, not at its start (Frankle et al. 2020, "Linear Mode
    Connectivity and the Lottery Ticket Hypothesis"). In a custom training loop call `take(model)`.

    Args:
        step: Optimizer step after which the snapshot is taken, at least 1; with `steps_per_execution`, the first step
            after it that Keras shows.

    Lifecycle:
        - `on_train_begin`: notes that the model is pruned later.
        - `on_epoch_begin`: reads the optimizer step.
        - `on_train_batch_end`: takes the snapshot once `step` is reached. Later steps, and later calls of `fit`, change
          nothing.

    Raises:
        ValueError: `step` is not a whole number of at least 1.

    Example:

    ```python
    model = wrap_pruning(model)
    model.compile("adam", "mse")
    point = RewindPoint(step=2)
    for ticket in IterativeMagnitude(model, 0.5, rounds=2, rewind="weights", rewind_to=point):
        ticket.fit(x, y, callbacks=[point])
    ```
    """

    def __init__(self, step: int):
        super().__init__()
        self.step = check_step(step, "step", minimum=1)
        self.taken_at: int | None = None
        self.snapshot: Snapshot | None = None
        self._at_epoch_begin = 0

    def take(self, model: keras.Model) -> None:
        """Keep a snapshot of the model as it is now, unless one is kept already."""
        if self.snapshot is None:
            self.snapshot = Snapshot.take(model)
            self.taken_at = _step(model) if model.compiled else None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        take_charge(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.snapshot is None:
            self._at_epoch_begin = _step(self.model)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # On JAX reading the true step copies the whole state: it is never above the estimate made here.
        if self.snapshot is None and self._at_epoch_begin + batch + 1 >= self.step and _step(self.model) >= self.step:
            self.take(self.model)


def _step(model: keras.Model) -> int:
    return int(ops.convert_to_numpy(model.optimizer.iterations))


def copy_masks(source: keras.Model, target: keras.Model) -> None:
    """Copy the masks of `source` into `target`, in place, and set what they prune to zero; other weights are kept.

    So the masks of a trained model can be tried on new random weights: the control of a lottery ticket experiment
    (Frankle & Carbin 2019, "The Lottery Ticket Hypothesis").

    Args:
        source: A model with masks.
        target: A model with masks for weights of the same shapes, in the same order. Names may differ.

    Raises:
        ValueError: A model has no masks, or the shapes differ.

    Example:

    ```python
    ticket = prune_weights(model, 0.5)
    control = wrap_pruning(keras.models.clone_model(model))  # new random weights
    copy_masks(ticket, control)
    ```
    """
    for name, model in (("source", source), ("target", target)):
        check_layer(model, name)
    pairs = find_masked(source), find_masked(target)
    shapes = tuple([tuple(weight.weight.shape) for weight in weights] for weights in pairs)
    if not shapes[0] or shapes[0] != shapes[1]:
        raise ValueError(
            "Masks can be copied between models from `wrap_pruning` whose masked weights have the same shapes. "
            f"Received: masks of shapes {shapes[0]} for weights of shapes {shapes[1]}"
        )
    for given, weight in zip(*pairs, strict=True):
        weight.set_mask(np.array(given.kept()))
        weight.apply()
    decide(target)
