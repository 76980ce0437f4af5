"""The criteria for single weights, by name."""

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_prune.importance.activation_weight import activation_weight
from keras_prune.importance.apoz import apoz
from keras_prune.importance.chance import Random
from keras_prune.importance.entropy import entropy
from keras_prune.importance.fisher import fisher
from keras_prune.importance.forms import takes_statistics
from keras_prune.importance.gradient import gradient
from keras_prune.importance.lamp import lamp
from keras_prune.importance.loss_change import loss_change
from keras_prune.importance.magnitude import magnitude
from keras_prune.importance.mean_activation import mean_activation
from keras_prune.importance.movement import movement
from keras_prune.importance.snip import snip
from keras_prune.importance.taylor import taylor
from keras_prune.importance.wanda import wanda

if TYPE_CHECKING:
    from keras_prune.measure.weights import SingleWeights

Importance = Callable[..., np.ndarray]
"""`weight -> scores`, or `(weight, statistics) -> scores`: NumPy arrays of the same shape."""

_BY_NAME: dict[str, Callable[..., Any]] = {
    "magnitude": lambda unit: magnitude(unit.slices()),
    "random": Random(),
    "lamp": lamp,
    "movement": movement,
    "mean_activation": mean_activation,
    "apoz": apoz,
    "entropy": entropy,
    "activation_weight": activation_weight,
    "wanda": wanda,
    "gradient": gradient,
    "taylor": taylor,
    "fisher": fisher,
    "snip": snip,
    "loss_change": loss_change,
}
# They score a neuron, and so all weights that read it alike. What one of them passes on is that, times its own size: as
# the activation-weight product has it. Otherwise at high sparsity a few neurons would keep all of their weights, and
# the others none. Neurons are compared with those of their own layer: Hu et al. do, and Molchanov et al. (2017, section
# 2.2) divide by a norm over the layer.
_OF_NEURONS = (mean_activation, apoz, entropy)


def needs_data(importance: str | Importance) -> bool:
    """Whether an importance is measured on data."""
    function = _BY_NAME[importance] if isinstance(importance, str) else importance
    return takes_statistics(function) and function is not movement  # which the training step adds up


def elementwise(importance: str | Importance) -> Callable[[np.ndarray], np.ndarray] | None:
    """The function `weights -> scores` of an importance that scores each weight by itself, and so can be called on any
    part of an array; None for others."""
    return magnitude if importance in ("magnitude", magnitude) else None


def get(importance: str | Importance) -> Callable[["SingleWeights", Any], np.ndarray]:
    """Returns the function that scores the weights of an array: `(unit, statistics) -> scores` in the weight's shape.

    Raises:
        ValueError: No importance has this name, or the argument is neither a name nor a function.
    """
    if isinstance(importance, str) and importance in _BY_NAME:
        return _named(importance, _chance() if importance == "random" else _BY_NAME[importance])
    if not callable(importance):
        raise ValueError(
            f"`importance` must be one of {sorted(_BY_NAME)}, a function `weight -> scores` or "
            f"`(weight, statistics) -> scores`. Received: importance={importance!r}"
        )
    function = importance
    if takes_statistics(function):
        return lambda unit, statistics: function(unit.values, statistics.of(unit))
    return lambda unit, statistics: function(unit.values)


def _chance() -> Callable[["SingleWeights"], np.ndarray | None]:
    """Random scores, the same in each pass over an array: whoever ranks several arrays asks for them more than once."""
    seed = int(keras.random.randint((), 0, 2**31 - 1))
    return lambda unit: Random((seed, zlib.crc32(unit.path.encode())))(unit)


def _named(name: str, function: Callable[..., Any]) -> Callable[["SingleWeights", Any], np.ndarray]:
    with_statistics = takes_statistics(function)

    def score(unit: "SingleWeights", statistics: Any) -> np.ndarray:
        found = function(unit, statistics) if with_statistics else function(unit)
        if found is None:
            raise ValueError(
                f"What '{unit.path}' reads is not seen, so {name!r} cannot score it. Leave the layer alone, with "
                f"targets={{{unit.layer!r}: None}}, or choose another importance. Received: importance={name!r}"
            )
        if found.size != unit.values.size:  # by input position
            found = statistics.spread(unit, found)
        if function in _OF_NEURONS:
            found = found / (found.mean() or 1) * np.abs(unit.slices()[:, 0])
        return found.reshape(unit.values.shape).astype(unit.values.dtype, copy=False)

    return score
