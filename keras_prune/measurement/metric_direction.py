"""Whether a metric should be high or low, by the metric itself or by its name."""

import re
from typing import Literal

import keras

from keras_prune import _keras

Mode = Literal["auto", "min", "max"]
MODES = ("auto", "min", "max")
HIGH = {"acc", "accuracy", "auc", "precision", "recall", "f1", "f1score", "fbeta", "iou", "r2", "r2score", "similarity"}
LOW = {"loss", "error", "mse", "mae", "mape", "msle", "rmse", "crossentropy", "entropy", "divergence", "perplexity"}


def lower_is_better(model: keras.Model, monitor: str) -> bool:
    """Told by the metric of that name which the model was compiled with, else by the words in the name.

    Raises:
        ValueError: Neither says.
    """
    name = monitor.removeprefix("val_")
    direction = _keras.metric_direction(model, name)
    if name != "loss" and direction is not None:
        return direction == "down"
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    if bool(words & LOW) == bool(words & HIGH):
        raise ValueError(
            '`mode` must be "min" or "max" for a metric whose name does not say which is better. '
            f'Received: mode="auto", monitor={monitor!r}'
        )
    return bool(words & LOW)
