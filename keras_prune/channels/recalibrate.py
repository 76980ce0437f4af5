"""BatchNormalization statistics, estimated anew: what flows through a smaller model has another mean and variance."""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_prune import keras_internals


def recalibrate_statistics(model: keras.Model, batches: Iterable[Any]) -> None:
    """Replaces the moving statistics of every BatchNormalization layer by their mean over these batches, in place.

    Everything else runs as in inference: dropout is off. Layers that are not trainable keep their statistics, as in
    training. ("PreciseBN": Wu and Johnson 2021, "Rethinking batch in BatchNorm".)

    Args:
        model: A built Sequential or Functional model.
        batches: Batches of inputs, as the model takes them.
    """
    norms = [layer for layer in keras_internals.flatten(model) if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    try:
        for count, batch in enumerate(batches):
            for layer in norms:
                layer.momentum = count / (count + 1)  # so that the moving average is the mean of all batches
            _run(model, batch)
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum


def _run(model: keras.Model, inputs: Any) -> Any:
    return keras_internals.call_graph(model, inputs, _training_if_normalising)


def _training_if_normalising(operation: Any) -> Callable[..., Any]:
    if keras_internals.is_graph(operation):
        return lambda *args, **kwargs: _run(operation, *args)
    if isinstance(operation, keras.Layer):
        norm = keras.layers.BatchNormalization
        if any(isinstance(part, norm) for part in keras_internals.flatten(operation)):
            return lambda *args, **kwargs: operation(*args, **kwargs | {"training": True})
    return operation
