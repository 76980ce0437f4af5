"""`PruningSchedule`: updates the masks of a model along a schedule while it trains."""

import threading
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune._keras.multi_worker import choice_of_first
from keras_prune.callbacks.timetable import Timetable
from keras_prune.importance import Importance
from keras_prune.masking.masked_weights import MaskedWeight, apply_masks
from keras_prune.masking.pruned_model import keep_masks
from keras_prune.masking.unpruned import decide, take_charge, take_masks
from keras_prune.reporting.unmet import say, too_early
from keras_prune.schedules import SparsitySchedule
from keras_prune.selection import Selection
from keras_prune.validation import check_step
from keras_prune.weights.diverged import FiniteUpdates
from keras_prune.weights.online_statistics import Measured
from keras_prune.weights.regrowth import Regrowth
from keras_prune.weights.rule import PruningRule, Targets
from keras_prune.weights.shortfall import shortfall

IN_THIS_FIT = "keras_prune.PruningSchedule"  # a key of the parameters that all callbacks of one `fit` share


class PruningSchedule(_keras.BackgroundCallback):
    """Callback that prunes a model while it trains: gradual pruning along a sparsity schedule.

    The step is `optimizer.iterations`, so a resumed run continues where it was. Masks are updated every `frequency`
    steps from the schedule's `begin_step` on, and always at its `end_step`, whatever the frequency and
    `steps_per_execution`. Pruned weights remain pruned. Weights or scores that are NaN or infinite, as when training
    diverges, leave all masks as they are, which is said once. Between updates the model itself holds its masks (see
    `wrap_pruning`). The sparsity of all masked weights is written to the logs as `sparsity`: list this callback before
    those that read it, such as `TensorBoard`; `History` and the progress bar always see it. Listed first, and without
    others that act at the ends of batches, it lets JAX and torch begin the next step meanwhile.

    Without `fit`, call `set_model(model)` once, and `after_step()` after every `model.train_on_batch` or every update
    of a custom training loop. The workers of a `tf.distribute` strategy all call them, and take the masks that the
    first of them chooses.

    Args:
        schedule: Function of the step that gives the sparsity in [0, 1), such as `PolynomialDecay`. Defaults to None:
            for a threshold selection, which decides itself how much is pruned.
        selection: How scores become masks. Defaults to `Percentile()`; `Percentile("global")` ranks the weights of all
            layers together.
        importance: Importance criterion: a name of the table below, or a deterministic function `weight -> scores`, or
            `(weight, statistics) -> scores` with a `WeightStatistics`, of NumPy arrays, higher = keep. Defaults to
            `"magnitude"`.
        targets: Per-layer sparsity: `"uniform"`, the same for each layer; `"erk"`, by the shapes of the layers, large
            ones more (Erdős-Rényi-Kernel, Evci et al. 2020). Or, by name pattern, the final sparsity of single layers,
            reached along the same schedule, `"erk"`, or None for layers that are not pruned: `{"conv*": 0.5, "output":
            None}`. The first pattern that matches applies. Defaults to `"uniform"`.
        frequency: Steps between mask updates, at least 1. Defaults to 100.
        prune_frozen: Whether weights that are not trainable are pruned too. Defaults to False.
        regrowth: `RigL` or `SET`: kept weights are dropped and pruned ones grow, at the same sparsity. Defaults to
            None: pruned weights remain pruned.
        data: Data for criteria that need them, as `fit` takes them: `x`, `(x, y)` or batches of them. Defaults to a
            random sample of the training data.
        data_batches: Batches in that sample (of arrays: of 32 samples each), at least 1. Defaults to 8.
        loss: Loss for criteria that need one, as `compile` takes it. Defaults to the one that the model is compiled
            with.

    Lifecycle:
        - `on_train_begin`: checks that there are data for a criterion that needs them.
        - `on_epoch_begin`, `on_train_batch_end`: update the masks if that is due at the optimizer step.
        - `on_train_batch_begin`, `on_test_begin`, `on_epoch_end`: do so if the last batch ended in the background.
        - `on_train_batch_end`, `on_epoch_end`: write the sparsity to the logs.
        - `on_train_end`: applies the masks a last time, and warns if training ended before the schedule does, or the
          masks prune less than it asks for.

    | `importance` | needs | score of a weight `w` with inputs `x` | comparable | source |
    |---|---|---|---|---|
    | `"magnitude"` | | `abs(w)` | | Han et al. 2015 |
    | `"lamp"` | | `w² / sum v²`, over all `v` of the layer with `v² >= w²` | yes | Lee et al. 2021 |
    | `"random"` | | uniform in [0, 1), seeded by `keras.utils.set_random_seed` | | |
    | `"movement"` | `wrap_pruning(movement=True)` | `-sum w·∂loss/∂w`, over all steps | yes | Sanh et al. 2020 |
    | `"wanda"` | data | `abs(w) · sqrt(mean x²)` | | Sun et al. 2023 |
    | `"activation_weight"` | data | `abs(w) · mean abs(x)` | | |
    | `"mean_activation"` | data | `abs(w) · a / mean a`, with `a = mean abs(x)` | | Molchanov et al. 2017 |
    | `"apoz"` | data | `abs(w) · a / mean a`, with `a` the fraction of `x > 0` | | Hu et al. 2016 |
    | `"entropy"` | data | `abs(w) · a / mean a`, with `a` the entropy of the mean `x` in a sample | | Luo and Wu 2017 |
    | `"gradient"` | data, loss | `mean abs(∂loss/∂w)` | | |
    | `"taylor"` | data, loss | `mean abs(w·∂loss/∂w)` | yes | Molchanov et al. 2017, 2019 |
    | `"snip"` | data, loss | `abs(mean w·∂loss/∂w)` | yes | Lee et al. 2019 |
    | `"fisher"` | data, loss | `mean (w·∂loss/∂w)² / 2` | yes | Theis et al. 2018 |
    | `"loss_change"` | data, loss | `abs(loss(w = 0) - loss)`, one evaluation each | yes | Molchanov et al. 2017 |

    `"mean_activation"`, `"apoz"` and `"entropy"` are taken relative to their mean over all inputs of the layer, so that
    layers can be compared.

    Criteria that need data cost a forward (and with a loss a backward) pass over them at each update, on a copy of the
    model that is made once.

    Raises:
        ValueError: A sparsity outside [0, 1), a negative step or frequency, no schedule for a selection that needs one
            or one for a selection that does not, a sparsity that the selection cannot reach; at the start of `fit`, a
            model without masks, a target that names no layer, a weight that the selection cannot prune, no data for an
            importance that needs them, or a second `PruningSchedule` in the same `fit`.

    Example:

    ```python
    model = wrap_pruning(model)
    model.compile("adam", "mse")
    schedule = PolynomialDecay(final_sparsity=0.9, begin_step=0, end_step=1000)
    model.fit(x, y, epochs=4, callbacks=[PruningSchedule(schedule)])
    ```
    """

    def __init__(
        self,
        schedule: SparsitySchedule | None = None,
        selection: Selection | None = None,
        importance: str | Importance = "magnitude",
        targets: Targets | None = None,
        *,
        frequency: int = 100,
        prune_frozen: bool = False,
        regrowth: Regrowth | None = None,
        data: Any = None,
        data_batches: int = 8,
        loss: Any = None,
    ):
        super().__init__()
        self.rule = PruningRule.of(selection, importance, targets, prune_frozen, regrowth)
        self.data, self.loss = data, loss
        self.data_batches = check_step(data_batches, "data_batches", minimum=1)
        self._times = times = Timetable(schedule, self.rule, frequency, regrowth)
        self.schedule, self.frequency = times.schedule, times.frequency
        self.begin_step, self.end_step = times.begin_step, times.end_step
        self._weights: list[MaskedWeight] = []
        self._awaits_weights = False
        self._kept: dict[int, int] = {}  # entries of each weight, by the `id` of its mask
        self._sparsity = 0.0
        self._measured: Measured | None = None
        self._updates = FiniteUpdates()
        self._last_due: int | None = None  # at which an update was made, or refused
        self._last_update: int | None = None
        self._known_step, self._known_batch = 0, 0
        self._thread: int | None = None  # that of `fit`
        self._ends_unseen = False
        self._said_early = False

    @property
    def is_at_target(self) -> bool | None:
        """Whether the masks were updated at the schedule's end or later, to its final sparsity; None: it has no end."""
        end = getattr(self.schedule, "end_step", None)
        return None if end is None else self._last_update is not None and self._last_update >= end

    # What the callback does, and when.

    def set_model(self, model: keras.Model) -> None:
        self._awaits_weights = _keras.is_built_by_training(model)
        self._weights = [] if self._awaits_weights else self.rule.weights_of(model, "PruningSchedule")
        super().set_model(keep_masks(model))
        self._measured = Measured(self.rule, model, self.data, self.data_batches, self.loss)
        take_masks(model)
        self._begin()

    def _take_weights(self) -> None:
        """Finds the weights of a model that its first step has built."""
        if self._awaits_weights and self._model.built:
            self._awaits_weights = False
            self._weights = self.rule.weights_of(self._model, "PruningSchedule")
            self._known_step, self._known_batch, self._last_due = 0, 0, None

    def _begin(self) -> None:
        self._updates = FiniteUpdates()
        self._last_due = self._last_update = None
        self._thread, self._ends_unseen = None, False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.params.setdefault(IN_THIS_FIT, self) is not self:
            raise ValueError(
                "One PruningSchedule a fit: two would undo each other's masks. Give layers their own sparsity with "
                "`targets`. Received: two PruningSchedule callbacks"
            )
        self._begin()
        take_charge(self._model)
        self._thread = threading.get_ident()
        if self._measured is not None:
            self._measured.check()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Not in `on_train_begin`: a `BackupAndRestore` listed later restores its state there.
        self._known_step, self._known_batch = self._read_step(), 0
        self._update_if_due(self._known_step)
        self._count()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._update_after(batch - 1)  # done already, unless that batch ended in the background
        self._ends_unseen = True

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # In another thread, this runs in the background and the next step beside it: the masks wait for what `fit`
        # does next, the next batch, a validation, or the end of the epoch.
        if self._thread in (None, threading.get_ident()):
            self._update_after(batch)
            self._ends_unseen = False
        if logs is not None:
            logs["sparsity"] = self._sparsity

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._update_after_last()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._update_after_last()
        apply_masks(self.model)
        if logs is not None:
            logs["sparsity"] = self._sparsity

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        apply_masks(self.model)  # moving averages were written into the weights after the last epoch
        step = self._read_step()
        if self.end_step is not None and step < self.end_step:
            if not self._said_early:  # of several `fit`s, each ends before the schedule does, except the last
                hint = "Train for longer, or lower the schedule's `end_step`."
                if step == 0:  # a model with two optimizers, say
                    hint = "`model.optimizer` made no step: if the model has others, call `after_step(step)` instead."
                say(too_early(step, self.begin_step, self.end_step, self._sparsity, hint))
            self._said_early = True
        elif not self._updates.refused and not self._awaits_weights:  # that was said
            say(self._shortfall(step))

    def after_step(self, step: int | None = None) -> None:
        """Update the masks if that is due, and apply them: for `train_on_batch` and custom training loops.

        Args:
            step: Optimizer steps done so far. Defaults to `model.optimizer.iterations`.

        Raises:
            ValueError: No step, and a model that is not compiled.
        """
        if step is None and not self.model.compiled:
            raise ValueError("A model that is not compiled has no step: pass `step`. Received: step=None")
        take_charge(self._model)
        self._update_if_due(self._read_step() if step is None else step)
        apply_masks(self.model)

    # How.

    def _due(self, step: int) -> int | None:
        return self._times.due(step, again=self._updates.refused)

    def _update_after(self, batch: int) -> None:
        self._take_weights()
        # Reading the true step costs a synchronisation (on JAX, a copy of the whole state), so it is read only when
        # that step may be reached: it is never above the estimate made here. In Keras 3.10 `batch` is the first of
        # those that were executed together, not the last.
        batches = batch + (getattr(self.model, "steps_per_execution", None) or 1) - self._known_batch
        if self._due(self._known_step - (-batches // self._accumulation())) != self._last_due:
            self._known_step, self._known_batch = self._read_step(), batch + 1
            self._update_if_due(self._known_step)

    def _update_after_last(self) -> None:
        if self._ends_unseen:
            self._ends_unseen = False
            self._update_if_due(self._read_step())

    def _shortfall(self, step: int) -> str:
        """What the masks prune less, at the end, than was asked for; empty if they prune as much."""
        due = self._last_update
        if due is None:
            return f"Nothing was pruned: no mask update was due by step {step}, with frequency={self.frequency}."
        asked = self._times.most_at(step)
        if self.is_at_target is None and asked and not self._sparsity:  # a function, which has no end
            return (
                f"Nothing was pruned: the schedule asks for a sparsity of {asked:.4f} at step {step}, but the last "
                f"mask update, at step {due}, was before it asked for any. Lower `frequency`: it is {self.frequency}."
            )
        return shortfall(self._weights, self.rule, lambda own: self._times.sparsity_at(own, due))

    def _update_if_due(self, step: int) -> None:
        due = self._due(step)
        if due is None or due == self._last_due or self._awaits_weights:
            return
        self._last_due = due
        optimizer = getattr(self.model, "optimizer", None)  # on JAX, `self.model` brings the variables up to date
        statistics = self._measured.now(due) if self._measured is not None else None
        kept = self._updates.update(
            self._weights,
            self.rule,
            lambda own: self._times.sparsity_at(own, due),
            due,
            optimizer,
            statistics,
            agree=partial(choice_of_first, self._model),
        )
        if kept is not None:
            self._last_update = due
            self._count(kept)
            decide(self._model, self.is_at_target is not False)

    def _count(self, kept: dict[int, int] | None = None) -> None:
        """Brings the sparsity up to date: after an update from what it counted, else from the masks themselves."""
        if kept is None:
            kept = {id(weight.mask): int(np.count_nonzero(weight.kept())) for weight in self._weights}
        if self._awaits_weights:
            return
        self._kept |= kept
        total = sum(weight.size for weight in self._weights)
        self._sparsity = 1.0 - sum(self._kept.get(id(weight.mask), weight.size) for weight in self._weights) / total

    def _read_step(self) -> int:
        optimizer = self.model.optimizer
        if optimizer is None:
            raise ValueError(
                "The step is that of `model.optimizer`: set it, or call `after_step(step)` in a custom training loop. "
                "Received: model.optimizer=None"
            )
        return int(ops.convert_to_numpy(optimizer.iterations))

    def _accumulation(self) -> int:
        optimizer = self._model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        return getattr(optimizer, "gradient_accumulation_steps", None) or 1
