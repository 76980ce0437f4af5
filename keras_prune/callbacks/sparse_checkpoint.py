"""`SparseCheckpoint`: saves a model only once it has reached its target sparsity."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_prune.callbacks.pruning_schedule import IN_THIS_FIT, PruningSchedule
from keras_prune.masking.masked_weights import MaskedWeight, find_masked, masked_sparsity
from keras_prune.measurement.metric_direction import MODES, Mode
from keras_prune.storage import write_with
from keras_prune.validation import (
    check_choice,
    check_flag,
    check_number,
    check_path,
    check_sparsity,
    check_text,
    check_verbose,
)


class SparseCheckpoint(keras.callbacks.ModelCheckpoint):
    """Callback that saves checkpoints as `keras.callbacks.ModelCheckpoint` does, but only of models that have reached
    their target sparsity.

    Early epochs of a pruning run are dense, and often the best by any metric: a plain checkpoint of the best epoch
    keeps one of those. This one ignores them, also when it compares with the best so far. Models are saved at the end
    of an epoch, and each file in one step: a run that is killed meanwhile leaves the file before, whole.

    The filepath may name `{sparsity}`, the fraction of all masked weights that is pruned, as in
    `"{epoch:02d}-{sparsity:.2f}.keras"`.

    Args:
        filepath: As in `ModelCheckpoint`: it ends in `.keras`, or in `.weights.h5` with `save_weights_only=True`.
        sparsity: Fraction of the masked weights that must be pruned, in [0, 1). Half an entry of each weight array may
            be missing, since only whole ones are pruned. Defaults to the sparsity at which the schedule of the
            `PruningSchedule` in the same `fit` ends.
        monitor: Metric to compare models by. Defaults to `"val_loss"`.
        verbose: 1 prints each save. Defaults to 0.
        save_best_only: Whether only the best of the models that are sparse enough is saved. Defaults to True, unlike in
            `ModelCheckpoint`.
        save_weights_only: Whether only the weights are saved. Defaults to False.
        mode: `"max"` if the metric should be high, `"min"` if low, `"auto"` to tell by its name. Defaults to `"auto"`.
        initial_value_threshold: Value of the metric that the first saved model must beat. Defaults to None.

    Lifecycle:
        - `on_epoch_begin`: finds the target sparsity, so that a missing one is an error before the epoch.
        - `on_epoch_end`: saves the model if it has reached the target, and the metric allows.
        - `on_train_end`: warns if nothing was saved since the target was never reached.

    Raises:
        ValueError: A sparsity outside [0, 1); in `fit`, a model without masks, or no sparsity and no `PruningSchedule`
            whose schedule has an end.

    Example:

    ```python
    model = wrap_pruning(model)
    model.compile("adam", "mse")
    pruning = PruningSchedule(PolynomialDecay(final_sparsity=0.9, end_step=4), frequency=1)
    best = SparseCheckpoint("best.keras", monitor="val_loss")
    model.fit(x, y, validation_data=(x, y), epochs=4, callbacks=[pruning, best])
    sparse = keras.saving.load_model("best.keras")
    ```
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        sparsity: float | None = None,
        *,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = True,
        save_weights_only: bool = False,
        mode: Mode = "auto",
        initial_value_threshold: float | None = None,
    ):
        if initial_value_threshold is not None:
            check_number(initial_value_threshold, "initial_value_threshold")
        super().__init__(
            check_path(filepath, "filepath"),
            monitor=check_text(monitor, "monitor"),
            verbose=check_verbose(verbose),
            save_best_only=check_flag(save_best_only, "save_best_only"),
            save_weights_only=check_flag(save_weights_only, "save_weights_only"),
            mode=check_choice(mode, "mode", MODES),
            initial_value_threshold=initial_value_threshold,
        )
        self.sparsity = None if sparsity is None else check_sparsity(sparsity)
        self._weights: list[MaskedWeight] = []
        self._reached = False

    def set_model(self, model: keras.Model) -> None:
        weights = find_masked(model)
        if not weights:
            raise ValueError(
                "SparseCheckpoint needs a model with masks: train the model that `wrap_pruning(model)` returns. "
                f"Received: the model '{model.name}', which has none"
            )
        super().set_model(model)
        self._weights = weights

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._reached = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._schedule()  # raises now, not after the epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert self.model is not None  # on JAX, reading it brings the masks up to date
        sparsity = masked_sparsity(self._weights)
        if self._is_reached(sparsity):
            self._reached = True
            with self._written_in_one_step():
                super().on_epoch_end(epoch, {**(logs or {}), "sparsity": sparsity})
        elif self.verbose:
            print(f"\nEpoch {epoch + 1}: the sparsity of {sparsity:.2%} is below the target, not saved", flush=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_end(logs)
        if not self._reached:
            warnings.warn(
                "SparseCheckpoint saved nothing: the target sparsity was reached at the end of no epoch; now it is "
                f"{masked_sparsity(self._weights):.4f}. Train for longer, or lower the target.",
                stacklevel=2,
            )

    @contextlib.contextmanager
    def _written_in_one_step(self) -> Iterator[None]:
        """While this holds, the model that Keras saves writes a temporary file first."""
        model = self.model
        super().set_model(_WrittenInOneStep(model))
        try:
            yield
        finally:
            super().set_model(model)

    def _is_reached(self, sparsity: float) -> bool:
        schedule = self._schedule()
        if schedule is not None:
            return bool(schedule.is_at_target)
        assert self.sparsity is not None
        half = 0.5 * len(self._weights) / sum(weight.size for weight in self._weights)
        return sparsity >= self.sparsity - half * (1 + 1e-9)

    def _schedule(self) -> PruningSchedule | None:
        """The callback that says whether the target is reached; None: `sparsity` says it."""
        if self.sparsity is not None:
            return None
        found = (self.params or {}).get(IN_THIS_FIT)
        if found is None or found.is_at_target is None:
            raise ValueError(
                "SparseCheckpoint does not know the target: pass `sparsity`, or use it with a `PruningSchedule` whose "
                f"schedule has an end. Received: sparsity=None with {'none' if found is None else 'one that has none'}"
            )
        return found


class _WrittenInOneStep:
    """A model, to be saved: its file is written under another name, and then put in place.

    Args:
        model: The model.
    """

    def __init__(self, model: keras.Model):
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def save(self, filepath: str, **kwargs: Any) -> None:
        """Save the model, as Keras calls it."""
        _write(filepath, lambda path: self._model.save(path, **kwargs))

    def save_weights(self, filepath: str, **kwargs: Any) -> None:
        """Save the weights, as Keras calls it."""
        _write(filepath, lambda path: self._model.save_weights(path, **kwargs))


def _write(filepath: str, save: Callable[[Any], object]) -> None:
    if "://" in filepath:  # of another machine, to which Keras copies the finished file
        save(filepath)
    else:
        write_with(filepath, save)
