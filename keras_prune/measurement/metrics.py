"""Loss and metrics of outputs that were computed already, by a model or a file, as `compile` makes them."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_prune.measurement.loss import cannot_be_computed


class Unrun(keras.Model):
    """A model that only has what `compile` makes: loss and metrics for outputs that something else computed.

    Args:
        names: Of the outputs, by which losses and metrics are told apart.
        loss: As `compile` takes it; None for none.
        loss_weights: Likewise.
        metrics: Likewise; Keras metrics are copied.
    """

    def __init__(self, names: Sequence[str], loss: Any, loss_weights: Any, metrics: Any):
        super().__init__()
        self.output_names = list(names)
        self.compile(keras.optimizers.SGD(0.0), loss=loss, loss_weights=loss_weights, metrics=fresh_metrics(metrics))


def scores_of(compiled: keras.Model, x: Any, y: Any, outputs: Any, weights: Any = None) -> dict[str, float]:
    """The loss, if the model was compiled with one, and the metrics, by the names that `evaluate` gives them.

    Args:
        compiled: What was compiled with them. It is not run.
        x: All inputs, if its loss asks for them.
        y: All targets.
        outputs: All outputs, in the structure of the model's.
        weights: Of the samples.

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
    """The same metrics without their states: those of the user belong to the user's model."""

    def fresh(metric: Any) -> Any:
        return type(metric).from_config(metric.get_config()) if isinstance(metric, keras.metrics.Metric) else metric

    return keras.tree.map_structure(fresh, metrics)
