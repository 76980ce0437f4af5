"""The callbacks of tfmot: `UpdatePruningStep` prunes, `PruningSummaries` writes sparsities for TensorBoard."""

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.callbacks import pruning_schedule
from keras_prune.masking.masked_weights import find_masked
from keras_prune.masking.unpruned import decide
from keras_prune.schedules import ConstantSparsity
from keras_prune.tfmot.groups import Group, group_weights
from keras_prune.validation import check_path, is_integer
from keras_prune.weights.rule import PruningRule
from keras_prune.weights.shortfall import shortfall


class UpdatePruningStep(pruning_schedule.PruningSchedule):
    """Callback that prunes a model from `prune_low_magnitude` while it trains, each layer along its own schedule.

    In a custom training loop call `set_model(model)` (with `model.optimizer` set) and `on_train_begin()` once,
    `on_train_batch_begin(batch)` before each step, and `on_epoch_end(batch)` after each epoch.

    Weights that are not trainable are not pruned.

    Lifecycle:
        - `on_train_begin`: starts the schedules; in a custom loop, updates the masks if that is due.
        - `on_train_batch_begin`, `on_epoch_end`: in a custom loop, update the masks if that is due.
        - `on_epoch_begin`, `on_train_batch_end`: in `fit`, update the masks if that is due.
        - `on_train_end`: applies the masks, and warns if training ended before a schedule does.

    Raises:
        ValueError: At the start of `fit`, a model without masks, a layer with masks but no schedule, a weight that the
            layer's blocks or m-by-n pattern cannot prune, or a second such callback in the same `fit`.

    Example:

    ```python
    pruned = sparsity.prune_low_magnitude(model, sparsity.ConstantSparsity(0.5, 0))
    pruned.compile("adam", "mse")
    pruned.fit(x, y, callbacks=[sparsity.UpdatePruningStep()])
    ```
    """

    def __init__(self) -> None:
        super().__init__(ConstantSparsity(0.5))  # for the base class; each group has its own
        self._groups: list[Group] = []
        self._in_fit = False
        self._start = 0

    def set_model(self, model: keras.Model) -> None:
        groups = group_weights(model)
        super().set_model(model)
        self._set_groups(groups)

    def _take_weights(self) -> None:
        awaited = self._awaits_weights
        super()._take_weights()
        if awaited and not self._awaits_weights:  # a step has built the model
            self._set_groups(group_weights(self._model))

    def _set_groups(self, groups: list[Group]) -> None:
        self._groups = groups
        ends = [getattr(group.schedule, "end_step", None) for group in groups]
        self.end_step = max((end for end in ends if end is not None and end >= 0), default=None)
        begins = [getattr(group.schedule, "begin_step", 0) for group in groups]
        self.begin_step = min(begins, default=0)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._in_fit = bool(self.params)
        if not self._in_fit:
            self.params: dict[str, Any] = {}
            if getattr(self.model, "optimizer", None) is None:
                raise ValueError(
                    "The step is that of the optimizer: compile the model, or set `model.optimizer`. "
                    f"Received: the model '{self.model.name}' without an optimizer"
                )
        self._start = self._read_step()
        for group in self._groups:
            group.asked, group.yes = None, []
        super().on_train_begin(logs)
        if not self._in_fit:
            self.params = {}  # the next loop is another one
            self.after_step(self._read_step())

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._in_fit:  # `fit` calls what is needed after each batch
            self._take_weights()
            self.after_step(self._read_step())

    def on_epoch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # tfmot's name for the epoch
        if not self._in_fit:
            self._take_weights()
            self.after_step(self._read_step())
        super().on_epoch_end(batch, logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_end(logs)
        self.params = {}  # of this `fit`: what follows may be a custom loop

    @property
    def is_at_target(self) -> bool | None:
        """Whether the masks were updated at the end of each schedule or later; None: none has an end."""
        if self.end_step is None:
            return None
        ends = [(getattr(group.schedule, "end_step", None), done) for group, done in self._done()]
        return all(done is not None and done >= end for end, done in ends if end is not None and end >= 0)

    def _done(self) -> list[tuple[Group, int | None]]:
        """The groups, and the step of the last update of each."""
        done: Any = self._last_update
        return list(zip(self._groups, done or [None] * len(self._groups), strict=True))

    def _shortfall(self, step: int) -> str:
        """What the masks of the first layers with too few zeros prune less than their schedule asks for."""
        for group, done in self._done():
            rule = PruningRule(group.selection, "magnitude", {}, prune_frozen=False)
            goal = 0.0 if done is None else group.sparsity(done)
            if found := shortfall(group.weights, rule, _always(goal)):
                return found
        if all(done is None for _, done in self._done()):
            return f"Nothing was pruned: no schedule began by step {step}."
        return ""

    # `PruningSchedule` compares what is due with what was done: here, one step for each group.

    def _due(self, step: int) -> Any:
        return tuple(group.due(step, self._start) for group in self._groups)

    def _update_if_due(self, step: int) -> None:
        due = self._due(step)
        done = self._last_due or (None,) * len(due)
        counted: dict[int, int] = {}
        for group, now, before in zip(self._groups, due, done, strict=True):  # type: ignore[arg-type]
            if now is None or now == before:
                continue
            rule = PruningRule(group.selection, "magnitude", {}, prune_frozen=False)
            goal = group.sparsity(now)
            optimizer = getattr(self.model, "optimizer", None)
            counted |= self._updates.update(group.weights, rule, _always(goal), now, optimizer) or {}
        self._last_due = self._last_update = due
        if counted:
            self._count(counted)
            decide(self._model, self.is_at_target is not False)


def _always(goal: float) -> Callable[[Any], float]:
    return lambda own: goal


class PruningSummaries(keras.callbacks.TensorBoard):
    """Callback that writes the sparsity and the threshold of each masked weight for TensorBoard, beside what
    `keras.callbacks.TensorBoard` writes.

    They are called `<layer>/<weight>/sparsity` and `<layer>/<weight>/threshold`, the smallest magnitude that is kept (0
    before anything was pruned).

    Args:
        log_dir: Folder to write to.
        update_freq: How often Keras writes losses and metrics: `"epoch"`, `"batch"` or a number of batches. Defaults to
            `"epoch"`.
        **kwargs: Other arguments of `keras.callbacks.TensorBoard`, which needs TensorFlow and TensorBoard installed.

    Lifecycle:
        - `on_epoch_begin`: writes sparsities and thresholds, at the optimizer step.
        - `on_train_end`: closes the files.

    Raises:
        ValueError: `log_dir` is no path, or another `update_freq`.
        ImportError: When training starts: TensorFlow or TensorBoard is not installed.

    Example:

    ```python
    summaries = sparsity.PruningSummaries(log_dir="logs")
    ```
    """

    def __init__(self, log_dir: str | os.PathLike[str], update_freq: Any = "epoch", **kwargs: Any):
        log_dir = check_path(log_dir, "log_dir")
        if not is_integer(update_freq, 1) and not (isinstance(update_freq, str) and update_freq in ("epoch", "batch")):
            raise ValueError(
                '`update_freq` must be "epoch", "batch" or a whole number of at least 1. '
                f"Received: update_freq={update_freq!r}"
            )
        super().__init__(log_dir=log_dir, update_freq=update_freq, **kwargs)
        self._metrics_writer: Any = None

    def set_model(self, model: keras.Model) -> None:
        try:
            writer = self.summary.create_file_writer(f"{self.log_dir}/metrics")
        except ImportError as error:
            raise ImportError(
                "PruningSummaries writes through `keras.callbacks.TensorBoard`, which needs TensorFlow and TensorBoard "
                f"on every backend: pip install tensorflow tensorboard. Received: {error}"
            ) from error
        super().set_model(model)
        self._metrics_writer = writer

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:  # a custom loop calls only this
            super().on_epoch_begin(epoch, logs)
        optimizer = getattr(self.model, "optimizer", None)
        step = 0 if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))
        with self._metrics_writer.as_default():
            for weight in find_masked(self.model):
                kept = weight.kept()
                pruned = kept.size > np.count_nonzero(kept)
                magnitudes = np.abs(_keras.as_numpy(weight.weight)[kept]) if pruned else np.zeros(1)
                name = f"{weight.layer}/{weight.name}"
                self.summary.scalar(f"{name}/sparsity", 1 - np.mean(kept), step=step)
                self.summary.scalar(f"{name}/threshold", float(magnitudes.min(initial=np.inf)), step=step)
        self._metrics_writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_end(logs)
        self._metrics_writer.close()
