"""Loss and metrics of outputs, those of Keras models and those of files alike."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.measurement.metrics import Unrun, scores_of


class Scorer:
    """Loss and metrics that are computed from outputs, without compiling any model.

    Args:
        models: Those that are scored. A loss or metrics that are not passed are those of the first that is compiled.
            Outputs without a structure and names get those of the first model that has a graph.
        loss: As `compile` takes it.
        metrics: Likewise, or a single one: names, `keras.metrics.Metric` objects or functions.

    Raises:
        ValueError: A name that Keras does not know.
    """

    def __init__(self, models: Sequence[keras.Model], loss: Any, metrics: Any):
        compiled = next((model for model in models if _keras.compiled_loss(model) is not None), None)
        self._loss: tuple[Any, Any] = (loss, None)
        if compiled is not None and loss is None:
            self._loss = _keras.compiled_loss(compiled) or (None, None)
        if compiled is not None and metrics is None:
            metrics = _keras.compiled_metrics(compiled)[0]
        _check(keras.losses.get, self._loss[0], "loss", ("crossentropy", "ce"))
        _check(keras.metrics.get, metrics, "metrics", ("accuracy", "acc"))
        self._metrics = metrics if metrics is None or isinstance(metrics, list | tuple | dict) else [metrics]
        graphs = [each for each in models if _keras.is_graph(each) and _keras.has_graph(each)]
        self._structure = _keras.graph_structures(graphs[0])[1] if graphs else None
        self._names = list(getattr(graphs[0], "output_names", [])) if graphs else []  # a Sequential has none

    def arranged(self, outputs: Sequence[np.ndarray]) -> Any:
        """Return the outputs of a file, which are a list, in the structure of those of the models."""
        if self._structure is not None and len(keras.tree.flatten(self._structure)) == len(outputs):
            return keras.tree.pack_sequence_as(self._structure, list(outputs))
        return outputs[0] if len(outputs) == 1 else list(outputs)

    def scores(self, targets: Any, outputs: Any) -> dict[str, float]:
        """Return the loss, if there is one, and the metrics, by name.

        Args:
            targets: An array, or a list or dict of one for each output.
            outputs: Likewise.

        Raises:
            ValueError: They cannot be computed from these outputs and targets.
        """
        leaves = keras.tree.flatten(outputs), keras.tree.flatten(targets)
        count = len(leaves[0])
        if count == len(leaves[1]) == 1:  # in a list, perhaps
            (outputs,), (targets,) = leaves
        metrics = self._metrics
        if metrics is None and _are_classes(targets, outputs):
            metrics = ["accuracy"]
        if self._loss[0] is None and not metrics:
            return {}
        names = self._names if len(self._names) == count else [f"output_{index}" for index in range(count)]
        return scores_of(Unrun(names, *self._loss, metrics), None, targets, outputs)


def _check(get: Callable[[Any], Any], given: Any, argument: str, words: tuple[str, ...]) -> None:
    """Raise unless Keras knows each; `words` are those that mean another function for each shape of outputs."""
    for identifier in keras.tree.flatten(given):
        if identifier is None or str(identifier).lower() in words:
            continue
        try:
            valid = callable(get(identifier))
        except (ValueError, TypeError):
            valid = False
        if not valid:
            raise ValueError(f"`{argument}` must be known to Keras, or be functions. Received: {identifier!r}")


def _are_classes(targets: Any, outputs: Any) -> bool:
    """Whether these are class indices, and scores of as many classes."""
    if not isinstance(targets, np.ndarray) or not isinstance(outputs, np.ndarray):
        return False
    if outputs.ndim != 2 or targets.dtype.kind not in "iu" or targets.size != len(outputs):
        return False
    return bool(targets.min() >= 0 and targets.max() < max(2, outputs.shape[1]))
