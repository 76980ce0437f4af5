"""Loss and metrics of outputs that are there already: of Keras and of files alike, and no model is compiled for it."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import keras_internals
from keras_prune.measure.batches import shapes

Score = Callable[[Any, Any], Any]  # targets and outputs to a number


class Judge:
    """What outputs are judged by.

    Args:
        models: Those that are judged. What is not passed is what the first of them was compiled with that was compiled.
        loss: As `compile` takes it for a model with one output.
        metrics: A metric or a list of them, likewise: names, `keras.metrics.Metric` objects or functions.

    Raises:
        ValueError: A name that Keras does not know, or a loss or metrics of several outputs.
    """

    def __init__(self, models: Sequence[keras.Model], loss: Any, metrics: Any):
        compiled = next((model for model in models if keras_internals.compiled_loss(model) is not None), None)
        if compiled is not None and loss is None:
            loss = (keras_internals.compiled_loss(compiled) or (None,))[0]
        if compiled is not None and metrics is None:
            metrics = keras_internals.compiled_metrics(compiled)[0]
        losses = keras.tree.flatten(loss)
        if len(losses) > 1:
            raise ValueError(f"Models are compared by one output, and so by one loss. Received: loss={loss!r}")
        self._loss = None if not losses or losses[0] is None else _as_loss(losses[0])
        self._metrics = None if metrics is None else [_checked(each) for each in keras.tree.flatten(metrics)]

    def scores(self, targets: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """The loss, if there is one, and the metrics, by name.

        Raises:
            ValueError: They cannot be computed from these outputs and targets.
        """
        metrics = ["accuracy"] if self._metrics is None and _are_classes(targets, outputs) else self._metrics or []
        found = {} if self._loss is None else {"loss": _number("The loss", self._loss, targets, outputs)}
        for each in metrics:
            name, score = _as_score(each, targets, outputs)
            found[name] = _number(f"The metric '{name}'", score, targets, outputs)
        return found


def _as_loss(loss: Any) -> Score:
    found = _get(keras.losses.get, loss, "loss")
    return found if isinstance(found, keras.losses.Loss) else keras_internals.loss_of_function(found)


def _checked(metric: Any) -> Any:
    if str(metric).lower() not in ("accuracy", "acc"):
        _get(keras.metrics.get, metric, "metrics")
    return metric


def _get(get: Callable[[Any], Any], identifier: Any, argument: str) -> Any:
    try:
        found = get(identifier)
    except (ValueError, TypeError) as error:
        raise ValueError(f"`{argument}` must be known to Keras, or be functions. Received: {identifier!r}") from error
    if found is None or not callable(found):
        raise ValueError(f"`{argument}` must be known to Keras, or be functions. Received: {identifier!r}")
    return found


def _as_score(metric: Any, targets: np.ndarray, outputs: np.ndarray) -> tuple[str, Score]:
    """The name of a metric, and a metric of its own for these outputs: the user's stays as it is."""
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        found = _accuracy(targets, outputs)
    elif isinstance(metric, keras.metrics.Metric):
        return metric.name, type(metric).from_config(metric.get_config())
    else:
        found = keras.metrics.get(metric)
    name = metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__)
    return name, found if isinstance(found, keras.metrics.Metric) else keras.metrics.MeanMetricWrapper(found)


def _accuracy(targets: np.ndarray, outputs: np.ndarray) -> keras.metrics.Metric:
    """Which accuracy is meant, Keras tells by the shapes likewise."""
    if outputs.shape[-1] == 1:
        return keras.metrics.BinaryAccuracy()
    if targets.ndim < outputs.ndim or targets.shape[-1] == 1:
        return keras.metrics.SparseCategoricalAccuracy()
    return keras.metrics.CategoricalAccuracy()


def _are_classes(targets: np.ndarray, outputs: np.ndarray) -> bool:
    """Whether these are numbers of classes, and scores of as many classes."""
    if outputs.ndim != 2 or targets.dtype.kind not in "iu" or targets.size != len(outputs):
        return False
    return bool(targets.min() >= 0 and targets.max() < max(2, outputs.shape[1]))


def _number(what: str, score: Score, targets: np.ndarray, outputs: np.ndarray) -> float:
    try:
        return float(keras.ops.convert_to_numpy(score(targets, outputs)))
    except Exception as error:  # whatever the backend raises
        raise ValueError(
            f"{what} cannot be computed from outputs of shape {outputs.shape} and these targets ({error}). "
            f"Received: y of shape {shapes(targets)}"
        ) from error
