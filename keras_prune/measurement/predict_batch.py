"""The outputs of a batch, each once."""

from typing import Any

import keras

from keras_prune.measurement.batches import as_inputs


def predict_batch(model: keras.Model, x: Any) -> list[Any]:
    """The outputs of a model on a batch, as `predict_on_batch` gives them, in a flat list.

    In the scope of a `tf.distribute` strategy every replica computes the whole batch, and Keras joins what they give:
    those of the first are returned.

    Args:
        model: The model.
        x: The inputs.
    """
    found = keras.tree.flatten(model.predict_on_batch(as_inputs(model, x)))
    replicas = getattr(getattr(model, "distribute_strategy", None), "num_replicas_in_sync", 1)
    return [each[: len(each) // replicas] for each in found] if replicas > 1 else found
