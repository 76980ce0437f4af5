"""Keras's `BackupAndRestore`, with what it does to files as methods to override."""

from typing import Any

import keras


class BackupCallback(keras.callbacks.BackupAndRestore):
    """Base of a callback that backs up when Keras's does, in files of its own.

    Override `write` (the state is to be saved now), `find` (the epoch with which training goes on, after the model was
    restored; None if there is no backup) and `clear` (training has ended).
    """

    def write(self, epoch: int) -> None:
        raise NotImplementedError

    def find(self) -> int | None:
        raise NotImplementedError

    def clear(self) -> None:
        raise NotImplementedError

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._current_epoch = epoch  # Keras 3.15 counts from 0 again in a resumed run, until an epoch has ended

    def on_train_end(self, logs: Any = None) -> None:
        if self.delete_checkpoint:
            self.clear()
        self.model._initial_epoch = None  # Keras 3.15 keeps it: the next `fit` would skip epochs

    def _save_model(self) -> None:
        self.write(self._current_epoch)

    def _load_model(self) -> None:
        epoch = self.find()
        if epoch is not None:
            self.model._initial_epoch = epoch


def first_epoch(model: keras.Model) -> int:
    """The epoch with which the `fit` that runs began, where a backup said so; else 0."""
    return int(getattr(model, "_initial_epoch", None) or 0)
