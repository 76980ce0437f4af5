"""Loss and metrics of outputs that were computed already, by a model or a file, as `compile` makes them."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_prune.measurement.loss import cannot_be_computed


class Unrun(keras.Model):
    """Model without layers that is only compiled: for the loss and metrics of outputs computed elsewhere.

    Args:
        names: Names of the outputs, by which losses and metrics are assigned.
        loss: The loss, as `compile` takes it; None for none.
        loss_weights: Weights of the losses, as `compile` takes them.
        metrics: Metrics, as `compile` takes them; Keras metrics are copied.
    """

    def __init__(self, names: Sequence[str], loss: Any, loss_weights: Any, metrics: Any):
        super().__init__()
        self.output_names = list(names)
        self.compile(keras.optimizers.SGD(0.0), loss=loss, loss_weights=loss_weights, metrics=fresh_metrics(metrics))


def scores_of(compiled: keras.Model, x: Any, y: Any, outputs: Any, weights: Any = None) -> dict[str, float]:
    """The loss, if the model was compiled with one, and the metrics, by the names that `evaluate` gives them.

    Args:
        compiled: The model that was compiled with them. It is not run.
        x: All inputs, if its loss needs them.
        y: All targets.
        outputs: All outputs, in the structure of those of the model.
        weights: Weights of the samples. Defaults to None.

    Raises:
        ValueError: They cannot be computed from these outputs and targets.
    """
    what = "The loss"
    try:
        targets, made = keras.tree.map_structure(ops.convert_to_tensor, (y, outputs))
        compiled.reset_metrics()
        loss = {} if compiled.loss is None else {"loss": compiled.compute_loss(x, targets, made, weights)}
        what = "A metric"
        metrics = compiled.compute_metrics(x, targets, made, weights)
        metrics.pop("loss", None)  # that of the last batch that was run
        return {name: float(ops.convert_to_numpy(value)) for name, value in {**loss, **metrics}.items()}
    except Exception as error:  # whatever the backend calls it
        raise cannot_be_computed(what, y, outputs, error) from error


def fresh_metrics(metrics: Any) -> Any:
    """Copies of metrics, without their states: the originals belong to the user's model."""

    def fresh(metric: Any) -> Any:
        return type(metric).from_config(metric.get_config()) if isinstance(metric, keras.metrics.Metric) else metric

    return keras.tree.map_structure(fresh, metrics)
