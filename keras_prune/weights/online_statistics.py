"""Statistics of a model while it trains, for a rule that needs them."""

from typing import Any

import keras

from keras_prune.masking.training_data import TrainingData
from keras_prune.measurement.weight_statistics import ModelStatistics
from keras_prune.weights.rule import PruningRule


class Measured:
    """The statistics of a model at each mask update of a `fit`.

    Args:
        rule: The rule.
        model: The model with masks.
        data: Data to measure on. None: a random sample of the training data of `fit`.
        batches: Batches in that sample.
        loss: The loss. None: the one that the model is compiled with.
    """

    def __init__(self, rule: PruningRule, model: keras.Model, data: Any, batches: int, loss: Any):
        self._rule, self._model, self._data, self._batches = rule, model, data, batches
        self._statistics = ModelStatistics(model, data, loss)

    def check(self) -> None:
        """Raises a `ValueError` if there are no data for a rule that needs some."""
        if self._rule.needs_data and self._data is None:
            self._training_data().check()

    def now(self, step: int) -> ModelStatistics:
        """The statistics of the model as it is now; on data only if the rule needs them, since movement needs none."""
        sample = None
        if self._rule.needs_data and self._data is None:
            sample = self._training_data().sample(self._batches, seed=step)
        self._statistics.renew(sample)
        return self._statistics

    def _training_data(self) -> TrainingData:
        found: TrainingData | None = getattr(self._model, "_training_data", None)
        if found is None:
            raise ValueError(
                "Outside of `fit` the data that this importance is measured on are unknown: pass `data`. "
                f"Received: data=None with importance={self._rule.importance!r}, regrowth={self._rule.regrowth!r}"
            )
        return found
