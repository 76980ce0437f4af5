"""`PruningBoard`: sparsity, thresholds and masks in TensorBoard, while a model trains."""

import os
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_prune.callbacks.board_events import EventFile, check_tensorboard, grey_png
from keras_prune.masking.mask_image import mask_image
from keras_prune.masking.masked_weights import MaskedWeight, find_masked
from keras_prune.measurement.weight_statistics import values_of
from keras_prune.validation import check_path, check_step, is_integer

_SMALLEST = 64  # dots; smaller images are drawn larger


class PruningBoard(keras.callbacks.Callback):
    """Callback that writes sparsities, thresholds and images of the masks for TensorBoard, beside what
    `keras.callbacks.TensorBoard` writes.

    For each masked weight, and for all together: `sparsity/...`, the fraction that its mask prunes; `threshold/...`,
    the smallest absolute value that is kept (with `"magnitude"`, about the threshold of the last update); and
    `masks/...`, an image of the mask, as `keras_prune.plots.plot_mask` draws it: rows are inputs, columns outputs,
    white is kept. Large masks are drawn smaller. It works on every backend and does not need TensorFlow.

    Args:
        log_dir: Folder of the logs, in which the run is called `pruning`. Defaults to `"logs"`.
        update_freq: `"epoch"` to write at the end of each epoch, at its number; or a number of optimizer steps, at
            least 1, to write each time so many are done, at the step, and at the end of `fit`. Defaults to `"epoch"`.
        images: Whether masks are drawn; or how many at most, in the order of the model. Defaults to True.

    Lifecycle:
        - `on_epoch_begin`, `on_train_batch_end`: count optimizer steps, and write if `update_freq` is a number of them.
        - `on_epoch_end`: writes, if `update_freq` is `"epoch"`.
        - `on_train_end`: writes the last step, if it is not written yet, and closes the file.

    Raises:
        ValueError: Another `update_freq` or `images`; at the start of `fit`, a model without masks.
        ImportError: The package `tensorboard` is missing.

    Example:

    ```python
    model = wrap_pruning(model)
    model.compile("adam", "mse")
    pruning = PruningSchedule(PolynomialDecay(final_sparsity=0.9, end_step=1000))
    model.fit(x, y, epochs=4, callbacks=[pruning, PruningBoard("logs")])  # then: tensorboard --logdir logs
    ```
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        update_freq: Literal["epoch"] | int = "epoch",
        *,
        images: bool | int = True,
    ):
        super().__init__()
        check_tensorboard()
        if not is_integer(update_freq, 1) and not (isinstance(update_freq, str) and update_freq == "epoch"):
            raise ValueError(
                f'`update_freq` must be "epoch" or a whole number of at least 1. Received: update_freq={update_freq!r}'
            )
        self.log_dir = os.path.join(check_path(log_dir, "log_dir"), "pruning")
        self.update_freq = update_freq if isinstance(update_freq, str) else int(update_freq)
        self.images = images if isinstance(images, bool) else check_step(images, "images")
        self._weights: list[MaskedWeight] = []
        self._file: EventFile | None = None
        self._written: int | None = None
        self._due, self._known_step, self._known_batch = 0, 0, 0

    def set_model(self, model: keras.Model) -> None:
        weights = find_masked(model)
        if not weights:
            raise ValueError(
                "PruningBoard shows masks: train the model that `wrap_pruning(model)` returns. "
                f"Received: the model '{model.name}', which has none"
            )
        super().set_model(model)
        self._weights = weights

    # When.

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._written = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.update_freq != "epoch":
            self._known_step, self._known_batch = self._read_step(), 0
            self._due = self._next(self._known_step)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.update_freq == "epoch":
            return
        # Reading the true step costs a synchronisation: it is read only when the next one to write may be reached.
        if self._known_step + batch + 1 - self._known_batch >= self._due:
            self._known_step, self._known_batch = self._read_step(), batch + 1
            if self._known_step >= self._due:
                self.write(self._known_step)
                self._due = self._next(self._known_step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.update_freq == "epoch":
            self.write(epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.update_freq != "epoch" and self._read_step() != self._written:
            self.write(self._read_step())
        self.close()

    # What.

    def write(self, step: int) -> None:
        """Write the masks as they are now. In a custom loop call `set_model(model)` first, and `close()` at the end.

        Args:
            step: The step at which TensorBoard shows them.
        """
        model = self.model  # on JAX, this brings the variables up to date
        assert model is not None
        if self._file is None:
            self._file = EventFile(self.log_dir)
        scalars: dict[str, float] = {}
        images: dict[str, tuple[int, int, bytes]] = {}
        kept_of_all, most = 0, len(self._weights) if self.images is True else int(self.images)
        smallest_of_all = np.inf
        for index, weight in enumerate(self._weights):
            kept, values = weight.kept(), np.abs(values_of(weight))
            count = int(np.count_nonzero(kept))
            smallest = float(values.min(where=kept, initial=np.inf))
            scalars[f"sparsity/{weight.path}"] = 1 - count / weight.size
            scalars[f"threshold/{weight.path}"] = smallest if count else 0.0
            kept_of_all, smallest_of_all = kept_of_all + count, min(smallest_of_all, smallest)
            if index < most:
                images[f"masks/{weight.path}"] = _image(weight, kept)
        scalars["sparsity/all"] = 1 - kept_of_all / sum(weight.size for weight in self._weights)
        scalars["threshold/all"] = smallest_of_all if kept_of_all else 0.0
        self._file.write(step, scalars, images)
        self._written = step

    def close(self) -> None:
        """Close the file; a later `write` begins another."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self, step: int) -> int:
        assert isinstance(self.update_freq, int)
        return (step // self.update_freq + 1) * self.update_freq

    def _read_step(self) -> int:
        return int(ops.convert_to_numpy(self.model.optimizer.iterations))


def _image(weight: MaskedWeight, kept: np.ndarray) -> tuple[int, int, bytes]:
    """Height, width and PNG file."""
    image = mask_image(kept, weight.axes).pixels
    for axis in (0, 1):
        image = image.repeat(max(1, _SMALLEST // image.shape[axis]), axis=axis)
    return *image.shape, grey_png(image)
