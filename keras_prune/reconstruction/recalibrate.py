"""BatchNormalization statistics, estimated again: activations of a smaller model have another mean and variance."""

from collections.abc import Callable
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.stateful import states_untouched
from keras_prune.measurement.batches import Batches
from keras_prune.reporting.progress import track

BATCH_SIZE = 256  # larger than for other measurements: a variance within a small batch comes out too low


def recalibration_batches(model: keras.Model, data: Any) -> Batches:
    """Return the batches to recalibrate on, the first of which was checked.

    Args:
        model: The model, or the one that it will be made from: both take the same inputs.
        data: As `Batches` takes it; targets are not needed.

    Raises:
        ValueError: No samples, or they do not fit the model.
        TypeError: `data` holds no batches, or can be read only once.
    """
    batches = Batches(data, model, with_targets=False, batch_size=BATCH_SIZE)
    next(iter(batches))
    return batches


def recalibrate_statistics(model: keras.Model, batches: Batches) -> None:
    """Replace the moving statistics of every BatchNormalization layer by their mean over these batches, in place.

    Everything else runs as in inference: dropout is off. Layers that are not trainable keep their statistics, as in
    training. ("PreciseBN": Wu and Johnson 2021, "Rethinking batch in BatchNorm".)

    Args:
        model: A built Sequential or Functional model.
        batches: Batches of its inputs.
    """
    norms = [layer for layer in _keras.flatten(model) if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    try:
        for count, (inputs, *_) in enumerate(track(batches, batches.count, "Recalibrating")):
            for layer in norms:
                layer.momentum = count / (count + 1)  # so that the moving average is the mean of all batches
            with states_untouched(model):
                _run(model, inputs)
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum


def _run(model: keras.Model, inputs: Any) -> Any:
    return _keras.call_graph(model, inputs, lambda node: _training_if_normalising(node.operation))


def _training_if_normalising(operation: Any) -> Callable[..., Any]:
    if _keras.is_graph(operation):
        return lambda *args, **kwargs: _run(operation, *args)
    if isinstance(operation, keras.Layer):
        norm = keras.layers.BatchNormalization
        if any(isinstance(part, norm) for part in _keras.flatten(operation)):
            return lambda *args, **kwargs: operation(*args, **kwargs | {"training": True})
    return operation
