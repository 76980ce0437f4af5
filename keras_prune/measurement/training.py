"""What a fine-tuning is given, checked before anything is measured or written."""

from typing import Any

import keras

from keras_prune.measurement.batches import Batches


def check_optimizer(optimizer: Any) -> None:
    """Raise a `ValueError` if Keras has no such optimizer."""
    if optimizer is None or isinstance(optimizer, keras.optimizers.Optimizer):
        return
    try:
        keras.optimizers.get(optimizer)
    except (ValueError, TypeError, KeyError) as error:  # KeyError: a configuration without a class
        raise ValueError(f"`optimizer` must be one of Keras. Received: optimizer={optimizer!r} ({error})") from error


def check_training_data(data: Any, name: str, model: keras.Model) -> None:
    """Raise a `ValueError` or `TypeError`, which names the argument, if the first batch is not one for the model."""
    try:
        next(iter(Batches(data, model, with_targets=True)))
    except (ValueError, TypeError) as error:
        raise type(error)(f"`{name}`: {error}") from error
