"""A metric of a model on data in memory: compiled once, evaluated many times."""

import copy
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.copies import AtInference
from keras_prune.measurement.loss import cannot_be_computed, compile_loss
from keras_prune.measurement.metric_direction import MODES, Mode, lower_is_better
from keras_prune.measurement.metrics import fresh_metrics, scores_of
from keras_prune.validation import check_choice, check_integer

BATCH_SIZE = 256


class Evaluation:
    """A metric of a model on data. The model is compiled here, so it must be a copy; see `copy_to_measure`.

    Args:
        running: The copy. Other models of the same inputs and outputs can be evaluated later.
        model: The model that it is a copy of: its compile settings say what can be measured.
        data: `(x, y)` or `(x, y, sample_weight)`, or batches of them; see `Batches`.
        metric: Name of a metric that the model was compiled with; `"loss"`; or a Keras metric. In a model that is not
            compiled, any name that `compile` understands. Defaults to the first metric that the model was compiled
            with, or the loss if there is none.
        mode: `"max"` if the metric should be high, `"min"` if low, `"auto"` to tell by the metric or its name.
            Defaults to `"auto"`.
        loss: The loss, as `compile` takes it. Defaults to that of the model.
        batch_size: Samples in a batch, where `data` are arrays. Defaults to 256.

    Raises:
        ValueError: No data, or such as do not fit the model; a metric that the model does not have (the message names
            those that it has), that cannot be computed from the data, or is not finite; no loss where one is needed.
        TypeError: A metric of another type, or `data` that hold no batches.
    """

    def __init__(
        self,
        running: keras.Model,
        model: keras.Model,
        data: Any,
        metric: str | keras.metrics.Metric | None = None,
        mode: Mode = "auto",
        loss: Any = None,
        batch_size: int = BATCH_SIZE,
    ):
        check_choice(mode, "mode", MODES)
        if not (metric is None or isinstance(metric, str | keras.metrics.Metric)):
            raise TypeError(f"`metric` must be the name of a metric, or a Keras metric. Received: metric={metric!r}")
        self.batches = _held(data, model, check_integer(batch_size, "batch_size", minimum=1))
        self.model = model
        found: tuple[Any, Any] = (loss, None) if loss is not None else _loss(model, metric)
        self._loss, self._loss_weights = found
        self._metrics = _metrics(model, metric)
        logs = self._first(running)
        self.name = _name(metric, logs, self.model)
        self.lower_is_better = mode == "min" if mode != "auto" else lower_is_better(running, self.name)
        self.baseline = self._finite(logs[self.name])

    def of_sample(self, running: keras.Model, model: keras.Model, samples: int) -> "Evaluation":
        """The same metric of another model, on the first samples only, with its own baseline.

        Args:
            running: A copy of the other model.
            model: That model.
            samples: Largest number of samples.
        """
        other = copy.copy(self)
        other.model, other.batches = model, _first_samples(self.batches, samples)
        other.baseline = other._finite(other.of(running))
        return other

    def of(self, running: keras.Model) -> float:
        """The metric of a copy, which is compiled here if needed. It may be NaN."""
        if not running.compiled:
            self._compile(running)
        return self._evaluate(running)[self.name]

    def of_outputs(self, running: keras.Model, outputs: Any) -> float:
        """The metric of given outputs for all samples, in the order of the model's outputs, such as those of a file.

        Args:
            running: A copy that was evaluated before: its metric and loss are used.
            outputs: One array for each output of the model.
        """
        inputs, targets, weights = self.samples
        predicted = keras.tree.pack_sequence_as(_outputs(running), keras.tree.flatten(outputs))
        return scores_of(running, inputs, targets, predicted, weights)[self.name]

    def of_parts(self, running: keras.Model, outputs: Any, parts: int) -> list[float]:
        """The metric of given outputs for each of so many parts of the samples, in their order: see `of_outputs`. There
        are no more parts than samples. A value may be NaN."""
        predicted = keras.tree.pack_sequence_as(_outputs(running), keras.tree.flatten(outputs))
        whole, found = (*self.samples, predicted), []
        for part in np.array_split(np.arange(self.count), min(parts, self.count)):
            inputs, targets, weights, made = keras.tree.map_structure(
                lambda leaf, part=part: None if leaf is None else np.asarray(leaf)[part], whole
            )
            found.append(scores_of(running, inputs, targets, made, weights)[self.name])
        return found

    @property
    def count(self) -> int:
        """The number of samples."""
        return sum(len(keras.tree.flatten(x)[0]) for x, _, _ in self.batches)

    @property
    def weighted(self) -> bool:
        """Whether samples have weights."""
        return any(weights is not None for _, _, weights in self.batches)

    @property
    def samples(self) -> tuple[Any, Any, Any]:
        """Inputs, targets and weights of all samples together."""
        structure = self.batches[0]
        columns = zip(*(keras.tree.flatten(batch) for batch in self.batches), strict=True)
        joined = [None if column[0] is None else np.concatenate(column) for column in columns]
        return keras.tree.pack_sequence_as(structure, joined)

    def holds(self, value: float, bound: float) -> bool:
        """Whether a value of the metric is no worse than another one."""
        return value <= bound if self.lower_is_better else value >= bound

    def bound(self, max_drop: float) -> float:
        """The worst value that is within this drop of the baseline."""
        return self.baseline + max_drop if self.lower_is_better else self.baseline - max_drop

    def _compile(self, running: keras.Model) -> None:
        loss = keras.tree.map_structure(lambda _: _nothing, _outputs(running)) if self._loss is None else self._loss
        metrics, weighted = map(fresh_metrics, self._metrics)
        compile_loss(running, keras.optimizers.SGD(0.0), loss, self._loss_weights, metrics, weighted)

    def _evaluate(self, running: keras.Model) -> dict[str, float]:
        found = running.evaluate(InMemory(self.batches), verbose=0, return_dict=True)
        return {name: float(value) for name, value in found.items()}

    def _first(self, running: keras.Model) -> dict[str, float]:
        """The first evaluation, which shows whether metric, data and model fit."""
        try:
            self._compile(running)
            return self._evaluate(running)
        except Exception as error:  # whatever the backend calls it
            raise cannot_be_computed("The metric", self.batches[0][1], _outputs(running), error) from error

    def _finite(self, value: float) -> float:
        if not math.isfinite(value):
            raise ValueError(f"The metric of the model must be finite. Received: {self.name}={value}")
        return value


class InMemory(keras.utils.PyDataset):
    """Dataset of batches in memory, in their order."""

    def __init__(self, batches: list[Any]):
        super().__init__()
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        x, y, weight = self._batches[index]
        return (x, y) if weight is None else (x, y, weight)


def _held(data: Any, model: keras.Model, batch_size: int) -> list[Any]:
    if data is None:
        raise ValueError("A metric is measured on data: pass `(x, y)`, or batches of them. Received: data=None")
    batches = list(Batches(data, model, with_targets=False, batch_size=batch_size))
    if any(y is None for _, y, _ in batches):
        raise ValueError("A metric needs targets: pass `(x, y)`, or batches of them. Received: x without y")
    return batches


def _first_samples(batches: list[Any], samples: int) -> list[Any]:
    def cut(leaf: Any) -> Any:
        return None if leaf is None else leaf[:samples]

    found = []
    for batch in batches:
        found.append(keras.tree.map_structure(cut, batch))
        samples -= len(keras.tree.flatten(batch)[0])
        if samples <= 0:
            break
    return found


def _loss(model: keras.Model, metric: Any) -> tuple[Any, Any]:
    found = _keras.compiled_loss(model)
    if found is None and not isinstance(metric, keras.metrics.Metric):
        raise ValueError(
            f"Pass `loss`, or a Keras metric as `metric`, or compile the model '{model.name}' with a loss. "
            f"Received: loss=None, metric={metric!r}"
        )
    return (None, None) if found is None else found


def _metrics(model: keras.Model, metric: Any) -> tuple[Any, Any]:
    """The metrics and weighted metrics to compile with."""
    if isinstance(metric, keras.metrics.Metric):
        return [metric], None
    if model.compiled:
        return _keras.compiled_metrics(model)
    return (None if metric in (None, "loss") else [metric]), None


def _name(metric: Any, logs: dict[str, float], model: keras.Model) -> str:
    """The name in the logs of an evaluation."""
    if metric is None:
        others = [name for name in logs if name != "loss" and not name.endswith("_loss")]
        return others[0] if others else "loss"
    name = metric.name if isinstance(metric, keras.metrics.Metric) else metric
    if name not in logs:
        if not model.compiled and len(logs) == 2:  # Keras has another name for it: "mse" is "mean_squared_error"
            return next(found for found in logs if found != "loss")
        raise ValueError(
            f"The model '{model.name}' was compiled without this metric; it has {sorted(logs)}. Name one of them, or "
            f"pass a Keras metric, such as `keras.metrics.SparseCategoricalAccuracy()`. Received: metric={metric!r}"
        )
    return name


def _outputs(running: keras.Model) -> Any:
    """The symbolic outputs in their structure; None for a subclassed model, whose structure is unknown."""
    return _keras.graph_structures(running)[1] if isinstance(running, AtInference) else None


def _nothing(y_true: Any, y_pred: Any) -> Any:
    """The loss where only a metric is needed: Keras requires one."""
    return ops.zeros(ops.shape(y_pred)[:1])
