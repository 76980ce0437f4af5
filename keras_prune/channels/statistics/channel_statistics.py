"""`ChannelStatistics`: what importance criteria may ask for besides weights, measured once, when first asked for."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import keras
import numpy as np

from keras_prune.channels.groups import ChannelAnalysis
from keras_prune.channels.statistics.activations import Readings
from keras_prune.channels.statistics.effects import measure_effects
from keras_prune.channels.statistics.errors_without import measure_errors
from keras_prune.channels.statistics.loss_without import measure_loss_changes
from keras_prune.measurement.activation_stats import ActivationStats
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.flat_copy import Runnable, make_runnable
from keras_prune.measurement.loss import find_loss
from keras_prune.tracing.binding import Binding


class ChannelStatistics:
    """Statistics of the channels of a model on data, for importance criteria.

    Everything is measured on a copy of the model in inference mode: dropout is off, BatchNormalization uses its moving
    statistics, and regularisation is no part of the loss. Each quantity is measured for all channels when it is first
    asked for: `effects` with a forward and a backward pass over the data, `activations` and `samples` together with a
    forward pass, `loss_changes` with a forward pass for each channel.

    Args:
        analysis: The channels.
        model: The model. It is only read.
        data: As `prune_channels` takes it. Defaults to None: nothing can be measured.
        loss: Likewise. Defaults to None: the loss that the model was compiled with.

    Example:

    ```python
    def least_rise(binding, statistics):  # channels without which the loss falls are removed first
        return statistics.loss_changes(binding) if binding.role == "in" else None

    importance = ChannelImportance(least_rise, normalize="none")
    prune_channels(model, 0.5, importance=importance, data=(x, y), loss="mse")
    ```
    """

    def __init__(self, analysis: ChannelAnalysis, model: keras.Model, data: Any = None, loss: Any = None):
        self._analysis, self._model, self._data, self._loss = analysis, model, data, loss
        self._atoms = len(analysis.trace.found.atoms)
        self._groups = [group for group in analysis.groups if not group.frozen]
        self._readers = [member for group in self._groups for member in group.members if member.role == "in"]

    def effects(self, binding: Binding) -> np.ndarray:
        """Return how much each channel contributes to the loss of each batch, to first order.

        Array of shape (batches, positions), for each position along the binding's axis: Σ w·∂loss/∂w over all weights,
        in any layer, that read the channel at that position. Without the channel the loss falls by about that much.
        """
        return _at(binding, self._effects)

    def mean_effect(self, binding: Binding, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return the mean over the batches of `function(effects)`, for each position, as `ModelStatistics` does."""
        return function(self.effects(binding)).mean(axis=0)

    def loss_changes(self, binding: Binding) -> np.ndarray:
        """Return how much the loss rises without the channel at each position along the axis.

        It takes one evaluation of all the data for each channel; channels that cannot be removed are not measured: 0.
        """
        return _at(binding, self._changes)

    def activations(self, binding: Binding) -> ActivationStats | None:
        """Return statistics of the layer's inputs at each position along the binding's axis: see `ActivationStats`.

        None for bindings that read nothing (of role `"out"` or `"through"`), or inside of a layer, where they cannot be
        measured: the heads that the output projection of an attention layer reads.
        """
        return self._readings.of(binding) if binding.role == "in" else None

    def samples(self, binding: Binding) -> np.ndarray | None:
        """Return the mean value in each sample of the channel at each position: shape (samples, positions).

        None where `activations` is.
        """
        return self._readings.samples(binding) if binding.role == "in" else None

    def errors_without(self, binding: Binding) -> np.ndarray | None:
        """Return the error of what the layer gives without the channel at each position along the axis.

        The channels of a group are taken away one by one, the one that is missed least first; the error is that which
        least squares on the other inputs of a layer leaves, relative to the sum of squares of its outputs around their
        mean, on average over all layers that read the group. None for bindings that read nothing, and in layers whose
        outputs are no product with their inputs.
        """
        return self._errors.get(id(binding)) if binding.role == "in" else None

    @cached_property
    def _errors(self) -> dict[int, np.ndarray]:
        readers = [[member for member in group.members if member.role == "in"] for group in self._groups]
        return measure_errors(self._copy, readers, self._batches(with_targets=False))

    @cached_property
    def _effects(self) -> np.ndarray:
        loss, batches = find_loss(self._model, self._loss), self._batches(with_targets=True)
        return measure_effects(self._copy, self._readers, self._atoms, batches, *loss)

    @cached_property
    def _changes(self) -> np.ndarray:
        loss, batches = find_loss(self._model, self._loss), self._batches(with_targets=True)
        return measure_loss_changes(self._copy, self._groups, self._atoms, batches, *loss)

    @cached_property
    def _readings(self) -> Readings:
        batches = self._batches(with_targets=False)
        return Readings(self._copy, self._analysis.trace, self._readers, batches)

    @cached_property
    def _copy(self) -> Runnable:
        return make_runnable(self._analysis.trace.model, self._analysis.trace.names)

    def _batches(self, with_targets: bool) -> Batches:
        return Batches(self._data, self._model, with_targets)


def _at(binding: Binding, values: np.ndarray) -> np.ndarray:
    """The values of the channel at each position; where no channel of the binding's group is, some other one's."""
    return values[..., binding.labels]
