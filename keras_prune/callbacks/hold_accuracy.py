"""`HoldAccuracy`: finds the highest sparsity at which a metric holds, while the model trains."""

import math
import os
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.callbacks.atomic_backup import IN_THIS_FIT as BACKUP_IN_THIS_FIT
from keras_prune.callbacks.hold_backup import Backup
from keras_prune.callbacks.hold_resuming import Decision, resume, state_of
from keras_prune.callbacks.hold_unmet import unmet
from keras_prune.callbacks.pruning_schedule import IN_THIS_FIT as SCHEDULE_IN_THIS_FIT
from keras_prune.importance import Importance
from keras_prune.masking.masked_weights import apply_masks, masked_sparsity
from keras_prune.masking.pruned_model import keep_masks
from keras_prune.masking.unpruned import decide, take_charge, take_masks
from keras_prune.measurement.metric_direction import MODES, Mode, lower_is_better
from keras_prune.reporting.records import Records
from keras_prune.reporting.unmet import say
from keras_prune.selection import Selection
from keras_prune.validation import (
    check_choice,
    check_flag,
    check_fraction,
    check_number,
    check_path,
    check_sparsity,
    check_step,
    check_text,
    check_verbose,
)
from keras_prune.weights.diverged import FiniteUpdates
from keras_prune.weights.online_statistics import Measured
from keras_prune.weights.rule import PruningRule
from keras_prune.weights.snapshot import Snapshot

IN_THIS_FIT = "keras_prune.HoldAccuracy"  # a key of the parameters that all callbacks of one `fit` share


class HoldAccuracy(keras.callbacks.Callback):
    """Callback that raises the sparsity while a metric holds, and ends with the sparsest model at which it held.

    The first epochs measure the baseline. Then the sparsity rises by `step` whenever the metric is within `max_drop` of
    the baseline after an epoch. A sparsity at which it is not within `patience` epochs has failed: weights, masks and
    the optimizer (its step, learning rate and momenta, as if the attempt had not been made) are restored from the last
    model that held, and the next attempt is half way between the two, and so on until they are `resolution` apart or
    `max_sparsity` holds. Then training stops. However it ends, the model is the sparsest one that held, as it was after
    that epoch; if none held, the unpruned model of the best baseline epoch (with a given `baseline`, the model that
    `fit` got). This is validate-and-optimise pruning (Reed 1993, "Pruning Algorithms: a Survey"), with a bisection for
    the step.

    The model is selected by the monitored metric, so that value is optimistic: evaluate the model on other data.

    With `backup`, a run that is killed is resumed by `AtomicBackup`, listed after this callback. Do not combine it
    with `PruningSchedule`, or with `EarlyStopping(restore_best_weights=True)`, which restores another model. List it
    before callbacks that read `logs["sparsity"]`. `decisions` lists a `Decision` for each epoch.

    Args:
        monitor: Name of a metric in the logs of `fit`, measured after each epoch: `"val_..."`, so pass validation
            data. A training metric is a mean over the epoch, not the metric of the model that is kept. Defaults to
            `"val_accuracy"`.
        max_drop: How much worse than the baseline the metric may be, at least 0: in its own units (0.01 of an accuracy
            is one point), or with `relative=True` as a fraction of the baseline's absolute value. Defaults to 0.01.
        relative: Whether `max_drop` is a fraction of the baseline. Defaults to False.
        baseline: Metric of the unpruned model. Defaults to the best of the first `baseline_epochs` epochs.
        baseline_epochs: Epochs without pruning, at least 1. Not used with `baseline`: pruning then begins at once.
            Defaults to 1.
        mode: `"max"` if the metric should be high, `"min"` if low, `"auto"` to tell by the metric that the model was
            compiled with, or by its name. Defaults to `"auto"`.
        step: First increase of the sparsity, in (0, 1). Defaults to 0.1.
        resolution: The search ends when the lowest sparsity that failed is at most this far above the highest that
            held; in (0, 1). Defaults to 0.01.
        patience: Epochs in which a sparsity must hold, at least 1. Defaults to 2.
        max_sparsity: Highest sparsity to try, in [0, 1); that of the selection, if it is lower. Defaults to 0.98.
        selection: How scores become masks, one that takes a sparsity. Defaults to `Percentile()`.
        importance: Importance criterion, as in `PruningSchedule`. Defaults to `"magnitude"`.
        targets: Per-layer sparsity, as in `PruningSchedule`; that of a single layer is an upper bound. Defaults to
            `"uniform"`.
        prune_frozen: Whether weights that are not trainable are pruned too. Defaults to False.
        data: Data for criteria that need them, as in `PruningSchedule`. Defaults to a random sample of the training
            data.
        data_batches: Batches in that sample (of arrays: of 32 samples each), at least 1. Defaults to 8.
        loss: Loss for criteria that need one, as `compile` takes it. Defaults to the one that the model is compiled
            with.
        backup: Folder, used for nothing else, for the state of the search after each epoch, two or three times the
            size of the model; emptied when `fit` ends. Defaults to None: no backup.
        verbose: 1 prints each decision. Defaults to 0.

    Lifecycle:
        - `on_train_begin`: starts a new search.
        - `on_epoch_begin`: resumes from a backup, if `fit` does; prunes to the sparsity that is tried next.
        - `on_epoch_end`: applies the masks, compares the metric with the bound, decides, restores the last model that
          held if the sparsity has failed, writes the backup, and stops training when the search is done. Writes the
          sparsity to `logs["sparsity"]`.
        - `on_train_end`: restores the sparsest model that held, and removes the backup; warns if none held, or training
          ended before the search did.

    Raises:
        ValueError: Values outside these ranges, or a selection that decides itself how much is pruned; in `fit`, a
            model without masks, a target that names no layer, two such callbacks, a monitor that is not in the logs
            (the message names those that are), or whose mode cannot be told; a backup of another model, or
            of other epochs.
        TypeError: An argument of another type.

    Example:

    ```python
    model = wrap_pruning(model)
    model.compile("adam", "mse")
    hold = HoldAccuracy(monitor="val_loss", max_drop=0.1, relative=True)
    model.fit(x, y, validation_data=(x, y), epochs=20, callbacks=[hold])
    print(hold.decisions)
    hold.sparsity  # of the model now
    ```
    """

    def __init__(
        self,
        monitor: str = "val_accuracy",
        max_drop: float = 0.01,
        *,
        relative: bool = False,
        baseline: float | None = None,
        baseline_epochs: int = 1,
        mode: Mode = "auto",
        step: float = 0.1,
        resolution: float = 0.01,
        patience: int = 2,
        max_sparsity: float = 0.98,
        selection: Selection | None = None,
        importance: str | Importance = "magnitude",
        targets: Any = None,
        prune_frozen: bool = False,
        data: Any = None,
        data_batches: int = 8,
        loss: Any = None,
        backup: str | os.PathLike[str] | None = None,
        verbose: int = 0,
    ):
        super().__init__()
        self.rule = PruningRule.of(selection, importance, targets, prune_frozen)
        if not self.rule.selection.needs_sparsity:
            raise ValueError(
                "HoldAccuracy decides how much is pruned, so its selection must take a sparsity, like `Percentile()`. "
                f"Received: selection={selection!r}"
            )
        self.mode = check_choice(mode, "mode", MODES)
        self.monitor, self.relative = check_text(monitor, "monitor"), check_flag(relative, "relative")
        self.verbose = check_verbose(verbose)
        self.max_drop = check_number(max_drop, "max_drop", minimum=0)
        self.baseline = None if baseline is None else check_number(baseline, "baseline")
        self.baseline_epochs = check_step(baseline_epochs, "baseline_epochs", minimum=1)
        self.step = check_fraction(step, "step", zero=False)
        self.resolution = check_fraction(resolution, "resolution", zero=False)
        self.patience = check_step(patience, "patience", minimum=1)
        self.max_sparsity = check_sparsity(max_sparsity, "max_sparsity")
        if self.rule.selection.max_sparsity is not None:
            self.max_sparsity = min(self.max_sparsity, self.rule.selection.max_sparsity)
        self.data, self.loss = data, loss
        self.data_batches = check_step(data_batches, "data_batches", minimum=1)
        self.backup = None if backup is None else Backup(check_path(backup, "backup"))
        self.decisions: Records[Decision] = Records()
        self._given_baseline = self.baseline

    @property
    def sparsity(self) -> float:
        """The fraction of all masked weights of the model that is pruned now."""
        return masked_sparsity(self._weights) if self._weights else 0.0

    @property
    def bound(self) -> float | None:
        """The worst value of the metric that holds; None while the baseline is unknown."""
        if self.baseline is None:
            return None
        drop = self.max_drop * (abs(self.baseline) if self.relative else 1.0)
        return self.baseline + drop if self._lower_is_better else self.baseline - drop

    # What the callback does, and when.

    _weights: Any = ()
    _lower_is_better = False

    def set_model(self, model: keras.Model) -> None:
        weights = self.rule.weights_of(model, "HoldAccuracy")
        super().set_model(keep_masks(model))
        self._weights = weights
        self._measured = Measured(self.rule, model, self.data, self.data_batches, self.loss)
        take_masks(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.params.setdefault(IN_THIS_FIT, self) is not self:
            raise ValueError(
                "One HoldAccuracy a fit: two would undo each other's masks. Received: two HoldAccuracy callbacks"
            )
        take_charge(self._model)
        self._measured.check()
        self.decisions = Records()
        self.baseline = self._given_baseline
        self._held = self._target = self.sparsity  # a pruned model is never made less sparse
        self._failed: float | None = None
        self._epochs_here = 0
        self._done = False
        self._best: Snapshot | None = None
        self._first_epoch = True
        self._updates = FiniteUpdates()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Pruned here and not when it is decided: after the last epoch it would not be trained again.
        if SCHEDULE_IN_THIS_FIT in self.params:
            raise ValueError(
                "HoldAccuracy decides itself when and how much is pruned: leave the other callback out. "
                "Received: a HoldAccuracy and a PruningSchedule in the same fit"
            )
        if self._first_epoch and self.backup is not None and epoch > 0:
            resume(self, epoch - 1)
        self._first_epoch = False
        if self.baseline is None:
            return
        if self._best is None:
            self._best = Snapshot.take(self.model)
        if self._target == self._held and not self._done:
            self._next()
        if self._epochs_here == 0 and not self._done:
            optimizer = getattr(self.model, "optimizer", None)
            self._updates.update(self._weights, self.rule, self._goal, epoch, optimizer, self._measured.now(epoch))
            apply_masks(self.model)  # minus zeros become zeros

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        metric = self._read(logs)
        apply_masks(self.model)
        sparsity = self.sparsity
        logs["sparsity"] = sparsity
        if self._done:  # there was nothing to try from the start
            self.model.stop_training = True
            return
        target = self._target
        if self._given_baseline is None and len(self.decisions) < self.baseline_epochs:
            decision = "baseline"
            self._measure(metric, [earlier.metric for earlier in self.decisions])
        else:
            decision = self._judge(metric)
        self._note(Decision(epoch, target, sparsity, metric, self.bound, decision))
        if self.backup is not None:
            self.backup.save(epoch, state_of(self), self._best)
        if self._done:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._first_epoch and self.backup is not None and _keras.first_epoch(self.model):
            resume(self, _keras.first_epoch(self.model) - 1)  # killed after the last epoch: this run had none
        if self._best is not None and self.baseline is not None:
            self._best.restore(self.model)
            self._best = None  # as large as the model
        if self.backup is not None:
            # The model's own backup goes first: with that alone, a run killed here would resume without this state.
            if (of_model := self.params.get(BACKUP_IN_THIS_FIT)) is not None and of_model.delete_checkpoint:
                of_model.clear()
            self.backup.clear()
        say(unmet(self, self._held, self._failed, self._done))
        decide(self._model, self._done)

    # How.

    def _measure(self, metric: float, earlier: list[float]) -> None:
        """Takes an epoch of the baseline."""
        if math.isnan(metric):
            raise ValueError(f"The baseline must be a number. Received: {self.monitor}={metric}")
        if all(self._better(metric, other) for other in earlier):
            self._best = Snapshot.take(self.model)
        if len(earlier) + 1 == self.baseline_epochs:
            self.baseline = min([*earlier, metric]) if self._lower_is_better else max([*earlier, metric])

    def _judge(self, metric: float) -> str:
        """Takes an epoch at the sparsity that is tried, and chooses the next."""
        self._epochs_here += 1
        bound = self.bound
        assert bound is not None
        if not self._updates.refused and (metric == bound or self._better(metric, bound)):
            self._best = Snapshot.take(self.model)
            self._held = self._target
            self._next()
            return "held"
        if self._epochs_here < self.patience:
            return "wait"
        self._failed = self._target
        assert self._best is not None
        self._best.restore(self.model)
        self._next()
        return "failed"

    def _next(self) -> None:
        """Chooses the next sparsity to try, or ends the search."""
        self._epochs_here = 0
        if self._failed is None:
            self._done = self._held >= self.max_sparsity
            self._target = max(min(self._held + self.step, self.max_sparsity), self._held)
        else:
            # Slightly more, since 0.9 - 0.8 is more than 0.1 to a computer.
            self._done = self._failed - self._held <= self.resolution * (1 + 1e-9)
            self._target = self._held + (self._failed - self._held) / 2
        if self._done:
            self._target = self._held

    def _goal(self, own: float | None) -> float:
        return self._target if own is None else min(own, self._target)

    def _better(self, metric: float, other: float) -> bool:
        return metric < other if self._lower_is_better else metric > other

    def _read(self, logs: dict[str, Any]) -> float:
        try:
            if self.monitor not in logs:
                raise ValueError(
                    "`monitor` must be a metric that `fit` logs after each epoch; those of validation need "
                    "`validation_data`, and `validation_freq=1`. "
                    f"Available: {', '.join(sorted(logs)) or 'none'}. Received: monitor={self.monitor!r}"
                )
            auto = self.mode == "auto"
            self._lower_is_better = lower_is_better(self.model, self.monitor) if auto else self.mode == "min"
        except ValueError:
            if self._best is not None:  # with a given baseline the first epoch was pruned already
                self._best.restore(self.model)
            raise
        return float(logs[self.monitor])

    def _note(self, decision: Decision) -> None:
        self.decisions.append(decision)
        if self.verbose:
            print(
                f"\nHoldAccuracy: epoch {decision.epoch}, sparsity {decision.sparsity:.2%}, "
                f"{self.monitor} {decision.metric:.6g}: {decision.decision}",
                flush=True,
            )
