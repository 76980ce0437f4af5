"""Fine-tuning that keeps its best epoch: the rate falls in its second half, and what is hopeless ends early."""

import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.automation.trend import expected_gain
from keras_prune.reporting.progress import fit_verbose


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long, and how, a candidate is fine-tuned.

    Args:
        epochs: Epochs, at least 0.
        number: Of the fine-tuning: the same number gives the same random numbers.
        hopeless: Value of the metric: a fine-tuning that will not come near it ends early. Defaults to None, never.
    """

    epochs: int
    number: int
    hopeless: float | None = None


@dataclasses.dataclass(frozen=True)
class FineTuned:
    """What came of a fine-tuning.

    Args:
        values: The metric before it and after each epoch that was made.
        kept: The epoch whose weights were kept; 0 are those before it.
        running: The copy that was measured, with these weights. Defaults to None, there is none.
    """

    values: tuple[float, ...]
    kept: int
    running: Any = None

    @property
    def epochs(self) -> int:
        """Number of epochs that were made."""
        return max(0, len(self.values) - 1)


def fine_tune(
    model: keras.Model, measure: Callable[[], float], lower_is_better: bool, effort: Effort, fit: dict[str, Any]
) -> FineTuned:
    """Fine-tune a compiled model in place, and give it the weights of the epoch with the best metric.

    The learning rate is constant in the first half of the epochs, and falls to nearly zero in the second, by half a
    cosine, unless the optimizer has a schedule. Where few epochs are made, one that falls at once learns too little.
    Where two epochs are equal the later one is kept, which learned more.

    Args:
        model: The model.
        measure: Returns the metric of the model as it is.
        lower_is_better: Whether the metric should be low.
        effort: How long.
        fit: Arguments of `fit`: the data.
    """
    watch = _Watch(model, measure, -1.0 if lower_is_better else 1.0, effort)
    model.fit(**fit, epochs=effort.epochs, verbose=fit_verbose(), callbacks=[watch])
    if getattr(model.optimizer, "use_ema", False):  # the averages were written after the last epoch
        watch.note(model)
    watch.restore(model)
    return FineTuned(tuple(watch.values), watch.kept)


class _Watch(keras.callbacks.Callback):
    """Callback that measures each epoch, and remembers the weights of the best."""

    def __init__(self, model: keras.Model, measure: Callable[[], float], sign: float, effort: Effort):
        super().__init__()
        self._measure, self._sign, self._effort = measure, sign, effort
        self._rate = _constant_rate(model.optimizer)
        self.values: list[float] = []
        self.kept = 0
        self._weights: list[np.ndarray] = []
        self.note(model)

    def note(self, model: keras.Model) -> None:
        """Measure the model as it is now."""
        self.values.append(self._measure())
        if not self._weights or self._score(-1) >= self._score(self.kept):
            self.kept = len(self.values) - 1
            self._weights = [np.array(_keras.as_numpy(weight)) for weight in model.weights]

    def restore(self, model: keras.Model) -> None:
        """Give the model the weights of the best epoch."""
        if self.kept != len(self.values) - 1:
            for weight, values in zip(model.weights, self._weights, strict=True):
                weight.assign(values)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._rate is not None:
            part = (1 + math.cos(math.pi * max(0.0, 2 * epoch / self._effort.epochs - 1))) / 2
            self.model.optimizer.learning_rate = self._rate * part

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.note(self.model)
        if self._is_hopeless():
            self.model.stop_training = True

    def _is_hopeless(self) -> bool:
        """Whether twice what the second half of the epochs so far gained, in each of those to come, is too little."""
        if self._effort.hopeless is None:
            return False
        made = len(self.values) - 1
        left = self._effort.epochs - made
        if made < 2 or 2 * made < self._effort.epochs:
            return False
        gain = expected_gain([self._sign * each for each in self.values], left)
        return self._score(self.kept) + 2 * gain < self._sign * self._effort.hopeless

    def _score(self, epoch: int) -> float:
        """The metric with its sign such that higher is better; NaN is the worst."""
        value = self._sign * self.values[epoch]
        return -math.inf if math.isnan(value) else value


def _constant_rate(optimizer: Any) -> float | None:
    """The learning rate of an optimizer; None if it follows a schedule."""
    rate = getattr(optimizer, "inner_optimizer", optimizer).get_config().get("learning_rate")
    return float(rate) if isinstance(rate, numbers.Real) else None
