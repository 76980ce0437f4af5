"""Calls with `training=False` in custom code: what a graph does where Keras would pass on the argument of the model."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.graph.leaf_layers import InferenceBatchNormalization

# In inference they return what they get.
_IDENTITIES = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)


def is_random(model: keras.Model) -> bool:
    """Whether some layer of the model draws random numbers in training."""
    return any(_draws(part) for part in _keras.flatten(model) if not isinstance(part, keras.Model))


def _draws(layer: keras.Layer) -> bool:
    rates = [getattr(layer, key, 0) or 0 for key in ("rate", "dropout", "recurrent_dropout", "stddev", "factor")]
    if any(np.any(np.asarray(rate, dtype=object) != 0) for rate in rates):
        return True
    held = vars(layer).values()
    seeded = any(isinstance(value, keras.random.SeedGenerator) for value in held)
    return seeded and not isinstance(layer, keras.layers.Dropout | keras.layers.MultiHeadAttention | keras.layers.RNN)


def fixed_training(node: Any, given: bool | None) -> bool | None:
    """What the code around a layer passed as `training` itself; None: what the call of the model passed, or nothing.

    Args:
        node: The call of the layer.
        given: What the model was called with.
    """
    passed = dict(node.arguments.kwargs).get("training")
    return passed if isinstance(passed, bool) and passed is not given else None


def forced_training(nodes: Iterable[Any]) -> Any | None:
    """The first call, among those at inference, that passes `training=True` to a layer that then computes otherwise."""
    for node in nodes:
        parts = _keras.flatten(node.operation) if isinstance(node.operation, keras.Layer) else []
        differs = any(isinstance(part, keras.layers.BatchNormalization) or _draws(part) for part in parts)
        if differs and fixed_training(node, None):
            return node
    return None


def at_inference(layer: keras.Layer) -> keras.Layer | None:
    """Make a layer compute in training what it computes in inference, and return it; None: it returns its inputs.

    Raises:
        ValueError: There is no such layer.
    """
    if isinstance(layer, _IDENTITIES):
        return None
    if any(_draws(part) for part in _keras.flatten(layer)):
        raise ValueError(f"its code calls '{layer.name}' with training=False, and a graph would draw random numbers")
    for part in _keras.flatten(layer):
        if type(part) is keras.layers.BatchNormalization:
            _keras.become(part, InferenceBatchNormalization)
    return layer


def remarks_on(model: keras.Model) -> tuple[str, ...]:
    """What is said of a model that Keras trains as at inference, though layers in it do something else in training."""
    of_training = [
        part
        for part in _keras.flatten(model)
        if isinstance(part, keras.layers.BatchNormalization) or (_draws(part) and not isinstance(part, keras.Model))
    ]
    if _keras.takes_training(model) or not of_training:
        return ()
    kinds = ", ".join(sorted({type(part).__name__ for part in of_training}))
    return (
        f"The `call` of {type(model).__name__} has no argument `training`, so that `fit` runs it as at inference. The "
        f"graph has it: {kinds} do in `fit` what they do in training",
    )
