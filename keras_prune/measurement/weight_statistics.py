"""What criteria may ask for beside the weights: `ModelStatistics` of a model, `WeightStatistics` of one array in it."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.masking.masked_weights import MaskedWeight, find_masked
from keras_prune.measurement.activation_stats import ActivationStats
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.measurement.gradients import batch_gradients
from keras_prune.measurement.layer_inputs import Hook, InputStatistics, input_hooks, one_hot
from keras_prune.measurement.loss import find_loss
from keras_prune.measurement.loss_without import change_of_each
from keras_prune.reporting.progress import track
from keras_prune.validation import check_finite

Function = Callable[[np.ndarray], np.ndarray]


class SingleWeights:
    """View of an array in which each weight is a unit, as a channel is: so one criterion can score both.

    Args:
        weight: The array, and its mask.
    """

    role: Literal["in"] = "in"
    makes = True

    def __init__(self, weight: MaskedWeight):
        self.weight = weight
        self.layer, self.path = weight.layer, weight.path

    @cached_property
    def values(self) -> np.ndarray:
        """The values, read-only, in float32 at least."""
        return values_of(self.weight)

    def slices(self) -> np.ndarray:
        """The values, one in each row."""
        return self.values.reshape(-1, 1)


def values_of(weight: MaskedWeight) -> np.ndarray:
    """The values of a weight, read-only, in float32 at least, since NumPy sorts half precision slowly or not at all."""
    values = _keras.as_numpy(weight.weight)
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)


class ModelStatistics:
    """Statistics of a whole model on data, for all of its masked weights: what the criteria of this package ask.

    A custom importance gets those of a single array, as `WeightStatistics`.

    Everything is measured on a copy of the model as it runs in inference: dropout is off, BatchNormalization uses its
    moving statistics, and regularisation is no part of the loss. Each quantity is measured for all weights when it is
    first asked for: the means of gradients and effects with a forward and a backward pass over the data, `activations`
    and `samples` with a forward pass, `loss_changes` with a forward pass for each weight that is not zero.

    Args:
        model: The model with masks. It is only read.
        data: The data, as `prune_weights` takes them. Defaults to None: there are none.
        loss: The loss, as `compile` takes it. Defaults to that of `compiled`.
        compiled: The model whose compiled loss is taken if there is no other. Defaults to `model`.
    """

    def __init__(self, model: keras.Model, data: Any = None, loss: Any = None, compiled: keras.Model | None = None):
        self._model, self._data, self._loss, self._compiled = model, data, loss, compiled or model
        self._copy: tuple[keras.Model, keras.Model] | None = None
        self._stale = False
        self._twins: dict[int, MaskedWeight] = {}
        self._found: dict[Any, dict[int, np.ndarray]] = {}
        self._inputs: dict[bool, dict[int, InputStatistics]] = {}

    def renew(self, data: Any = None) -> None:
        """Forgets what was measured, since the weights changed, and measures on these data from now on."""
        self._found, self._inputs, self._stale = {}, {}, True
        if data is not None:
            self._data = data

    def mean_effect(self, unit: SingleWeights, function: Function) -> np.ndarray:
        """The mean over the batches of `function(w·∂loss/∂w)`, for each weight: array of shape (weights,).

        To first order the loss of a batch falls by w·∂loss/∂w without the weight.
        """
        return self._mean(unit, function, effect=True)

    def mean_gradient(self, unit: SingleWeights, function: Function) -> np.ndarray:
        """The mean over the batches of `function(∂loss/∂w)`, for each weight: array of shape (weights,)."""
        return self._mean(unit, function, effect=False)

    def movement(self, unit: SingleWeights) -> np.ndarray:
        """-Σ w·∂loss/∂w over the training steps so far, for each weight: array of shape (weights,).

        Raises:
            ValueError: The model does not add it up while it trains.
        """
        if unit.weight.movement is None:
            raise ValueError(
                "The movement of weights is added up while a model trains: `wrap_pruning(model, movement=True)`. "
                f"Received: the model '{self._model.name}', which does not"
            )
        return np.array(_keras.as_numpy(unit.weight.movement), np.float32).reshape(-1)

    def activations(self, unit: SingleWeights) -> ActivationStats | None:
        """The inputs that each weight is multiplied by: an `ActivationStats` with arrays of shape (weights,).

        None where they cannot be recorded: in layers that compute with a weight without being called, or of an unknown
        kind.
        """
        inputs = self._inputs_of(unit, samples=False)
        if inputs is None:
            return None
        magnitude, squares, off = (inputs.spread(each).astype(np.float32).reshape(-1) for each in inputs.means())
        return ActivationStats(magnitude, np.sqrt(squares), off)

    def samples(self, unit: SingleWeights) -> np.ndarray | None:
        """The mean input of each sample at each input position of the weight: array of shape (samples, positions).

        None where `activations` is. `spread` gives each weight the score of its input position.
        """
        inputs = self._inputs_of(unit, samples=True)
        return None if inputs is None else inputs.samples()

    def spread(self, unit: SingleWeights, scores: np.ndarray) -> np.ndarray:
        """Scores of input positions, as `samples` has them, for each weight: array of shape (weights,)."""
        inputs = self._inputs_of(unit, samples=True)
        assert inputs is not None
        return inputs.spread(scores).astype(np.float32).reshape(-1)

    def loss_changes(self, unit: SingleWeights) -> np.ndarray:
        """How much the loss rises without each weight: array of shape (weights,); 0 for weights that are zero.

        Raises:
            ValueError: The model has more than 100,000 weights that are not zero.
        """
        if "changes" not in self._found:
            self._found["changes"] = self._measure_changes()
        return _lent(self._found["changes"][id(unit.weight.weight)])

    def of(self, unit: SingleWeights) -> "WeightStatistics":
        """The statistics of one array, which a custom importance gets."""
        return WeightStatistics(self, unit)

    # How.

    def _mean(self, unit: SingleWeights, function: Function, effect: bool) -> np.ndarray:
        key = (function, effect)
        if key not in self._found:
            self._found[key] = self._measure_gradients(function, effect)
        return _lent(self._found[key][id(unit.weight.weight)])

    def _measure_gradients(self, function: Function, effect: bool) -> dict[int, np.ndarray]:
        loss, batches = find_loss(self._compiled, self._loss), Batches(self._data, self._model, with_targets=True)
        _, running = self._current()
        weights = {id(twin.weight): (key, values_of(twin)) for key, twin in self._twins.items()}
        sums: dict[int, np.ndarray] = {}
        count = 0
        for gradients in batch_gradients(running, [each.weight for each in self._twins.values()], batches, *loss):
            count += 1
            for twin, (key, values) in weights.items():
                gradient = gradients[twin].astype(values.dtype, copy=False)
                found = function(gradient * values if effect else gradient)
                if key in sums:
                    sums[key] += found
                else:
                    sums[key] = np.array(found)
        for key, found in sums.items():
            found /= count
            check_finite(found, "The gradients of the loss", self._twins[key].path)
        return sums

    def _inputs_of(self, unit: SingleWeights, samples: bool) -> InputStatistics | None:
        if samples not in self._inputs:
            self._inputs[samples] = self._measure_inputs(samples)
        inputs = self._inputs[samples].get(id(unit.weight.weight))
        return inputs if inputs is not None and inputs.any else None

    def _measure_inputs(self, samples: bool) -> dict[int, InputStatistics]:
        batches = Batches(self._data, self._model, with_targets=False)
        copy, _ = self._current()
        found: dict[int, InputStatistics] = {}
        hooks: dict[int, dict[str, Hook]] = {}
        for key, twin in self._twins.items():
            if not twin.axes.reads:
                continue
            layer = twin.held.layer
            found[key] = InputStatistics(twin.axes, twin.weight.shape, samples)
            hook: Hook = found[key].add
            if isinstance(layer, keras.layers.Embedding) and twin.held.name == "embeddings":
                hook = one_hot(twin.weight.shape[0], hook)
            hooks.setdefault(id(layer), {})[twin.held.name] = hook
        with input_hooks(copy, hooks):
            for x, _, _ in track(batches, batches.count, "Activations"):
                copy(x, training=False)
        for key, inputs in found.items():
            check_finite(inputs.means(), "Activations", f"the inputs of {self._twins[key].path}")
        return found

    def _measure_changes(self) -> dict[int, np.ndarray]:
        loss, batches = find_loss(self._compiled, self._loss), Batches(self._data, self._model, with_targets=True)
        _, running = self._current()
        return change_of_each(running, self._twins, batches, *loss)

    def _current(self) -> tuple[keras.Model, keras.Model]:
        """The copy, with the values that the model has now; made when it is first needed."""
        if self._copy is None:
            self._copy = copy_to_measure(self._model)
            pairs = zip(find_masked(self._model), find_masked(self._copy[0]), strict=True)
            self._twins = {id(old.weight): new for old, new in pairs}
        elif self._stale:
            for old, new in zip(self._model.weights, self._copy[0].weights, strict=True):
                new.assign(np.array(ops.convert_to_numpy(old.value)))  # JAX would share, and lose, the array itself
        self._stale = False
        return self._copy


def _lent(values: np.ndarray) -> np.ndarray:
    """A measured array, flat and read-only: it is asked for again, and scores are overwritten in place."""
    view = values.reshape(-1)
    view.flags.writeable = False
    return view


class WeightStatistics:
    """Statistics of one weight array on data, which a custom importance `(weight, statistics) -> scores` gets.

    All arrays that it returns have the shape of the weight. Those of all arrays of a model are a `ModelStatistics`,
    which makes these: do not make one yourself.

    Example:

    ```python
    def steep(weight, statistics):  # |w| times the mean absolute gradient
        return abs(weight) * statistics.mean_gradient(np.abs)

    pruned = prune_weights(model, 0.5, importance=steep, data=(x, y), loss="mse")
    ```
    """

    def __init__(self, statistics: ModelStatistics, unit: SingleWeights):
        self._statistics, self._unit = statistics, unit

    def mean_effect(self, function: Function) -> np.ndarray:
        """Return the mean over the batches of `function(w·∂loss/∂w)`, of an elementwise function of arrays."""
        return self._shaped(self._statistics.mean_effect(self._unit, function))

    def mean_gradient(self, function: Function) -> np.ndarray:
        """Return the mean over the batches of `function(∂loss/∂w)`, of an elementwise function of arrays."""
        return self._shaped(self._statistics.mean_gradient(self._unit, function))

    def loss_changes(self) -> np.ndarray:
        """Return how much the loss rises without each weight: expensive, an evaluation for each."""
        return self._shaped(self._statistics.loss_changes(self._unit))

    def activations(self) -> ActivationStats | None:
        """Return the `ActivationStats` of the inputs of each weight; None where they cannot be recorded."""
        found = self._statistics.activations(self._unit)
        return None if found is None else ActivationStats(*map(self._shaped, (found.magnitude, found.norm, found.off)))

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(self._unit.values.shape)
