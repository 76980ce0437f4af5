"""`AtomicBackup`: backups of a training run that are whole whenever the run is killed."""

import json
import os
import pathlib
import secrets
from typing import Any, Literal

from keras_prune import _keras
from keras_prune.reading.json_files import fields, read_json
from keras_prune.storage import write_text, write_with
from keras_prune.validation import check_step

IN_THIS_FIT = "keras_prune.AtomicBackup"  # a key of the parameters that all callbacks of one `fit` share
_INDEX, _WEIGHTS = "backup.json", ".weights.h5"
_OF_KERAS = ("latest.weights.h5", "training_metadata.json")


class AtomicBackup(_keras.BackupCallback):
    """Callback that backs up and restores a run as `keras.callbacks.BackupAndRestore` does, and survives any kill.

    Keras's callback writes its two files in place: a run that is killed while it writes cannot be resumed. This one
    writes the state to a new file, waits until it is on the disk, and then replaces the small file that names it. At
    any moment the folder holds one whole backup. List it after `HoldAccuracy`, as Keras's.

    Args:
        backup_dir: Folder of the backup, used for nothing else; two times the size of the model and its optimizer while
            it writes. It is created when the first backup is written.
        save_freq: `"epoch"` to write after each epoch, or an integer to write every so many batches; the epoch in which
            a run was killed is begun again. Defaults to `"epoch"`.
        delete_checkpoint: Whether the backup is removed when `fit` ends. Defaults to True.

    Lifecycle:
        - `on_train_begin`: restores the model, its optimizer and the epoch, if there is a backup.
        - `on_train_batch_end`, `on_epoch_end`: writes the backup, as `save_freq` says.
        - `on_train_end`: removes the backup.

    Raises:
        ValueError: An empty `backup_dir`, or another `save_freq`; in `fit`, an unbuilt model, a backup of another
            model, one that is damaged, or one of Keras's callback.

    Example:

    ```python
    model = wrap_pruning(model)
    model.compile("adam", "mse")
    pruning = PruningSchedule(PolynomialDecay(final_sparsity=0.9, end_step=4), frequency=1)
    model.fit(x, y, epochs=4, callbacks=[pruning, AtomicBackup("backup")])
    ```
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: int | Literal["epoch"] = "epoch",
        delete_checkpoint: bool = True,
    ):
        if not isinstance(backup_dir, str | os.PathLike) or not os.fspath(backup_dir):
            raise ValueError(f"`backup_dir` must be the path of a folder. Received: backup_dir={backup_dir!r}")
        if save_freq != "epoch":
            save_freq = check_step(save_freq, "save_freq", minimum=1)
        super().__init__(os.fspath(backup_dir), save_freq, delete_checkpoint=delete_checkpoint)
        self.folder = pathlib.Path(backup_dir)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.params[IN_THIS_FIT] = self
        super().on_train_begin(logs)

    def write(self, epoch: int) -> None:
        """Write a backup with which training goes on at the beginning of this epoch."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{epoch}-{secrets.token_hex(4)}{_WEIGHTS}"
        write_with(self.folder / name, self.model.save_weights)
        write_text(self.folder / _INDEX, json.dumps({"epoch": epoch, "weights": name}) + "\n")
        self._remove_all_but(name)

    def find(self) -> int | None:
        """Restore the model from the backup, and return the epoch; None if there is none."""
        index = self.folder / _INDEX
        if not index.is_file():
            if any((self.folder / name).exists() for name in _OF_KERAS):
                raise ValueError(
                    "The backup must be one of AtomicBackup: resume with `keras.callbacks.BackupAndRestore`, or name "
                    f"another folder. Received: backup_dir='{self.folder}', which Keras's callback wrote"
                )
            return None
        if not self.model.built:
            raise ValueError(
                "The model must be built before `fit` restores it: give it a keras.Input, or call it on a batch. "
                f"Received: the unbuilt model '{self.model.name}'"
            )
        optimizer = self.model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        try:
            content = fields(read_json(index), {"epoch": int, "weights": str})
            epoch = check_step(content["epoch"], "epoch")
            weights = self.folder / pathlib.Path(content["weights"]).name
            self.model.load_weights(weights)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:  # the last by h5py, of damaged files
            raise ValueError(
                "The backup cannot be restored: it is of another model, or damaged. Name another folder, or delete "
                f"this one to begin again. Received: backup_dir='{self.folder}' ({error})"
            ) from error
        return epoch

    def clear(self) -> None:
        """Remove the backup, and the folder if nothing else is in it."""
        (self.folder / _INDEX).unlink(missing_ok=True)  # first: it must not name a file that is gone
        self._remove_all_but(None)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _remove_all_but(self, name: str | None) -> None:
        """Remove older states, and what a run that was killed left half-written."""
        for file in [*self.folder.glob(f"[0-9]*-*{_WEIGHTS}"), *self.folder.glob(".*.tmp.*")]:
            if file.name != name:
                file.unlink(missing_ok=True)
