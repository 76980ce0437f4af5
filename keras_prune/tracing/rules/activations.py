"""Which activation functions treat each channel on its own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import activations, layers

from keras_prune.tracing.rule_context import RuleContext
from keras_prune.tracing.rules.entrywise import is_entrywise

_NAMES = (
    "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid mish relu "
    "relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus sparse_sigmoid squareplus tanh tanh_shrink "
    "threshold"
)
_ELEMENTWISE = [getattr(activations, name) for name in _NAMES.split() if hasattr(activations, name)]
# Layers made of an element-wise function, which may serve as activations.
_ELEMENTWISE_LAYERS = (layers.ReLU, layers.LeakyReLU, layers.ELU)


def apply_activation(call: RuleContext, function: Callable[..., Any] | None, made: np.ndarray) -> None:
    """Freezes the channels that a layer makes, unless its activation maps each entry of a tensor alone."""
    if not is_elementwise(function):
        name = getattr(function, "__name__", type(function).__name__)
        call.freeze(made, f"{call.kind}: its activation '{name}' may mix channels")


def is_elementwise(function: Callable[..., Any] | None) -> bool:
    """Whether a function maps each entry of a tensor alone: one of Keras by its name, others as they are traced."""
    if isinstance(function, layers.Activation):
        return type(function) is layers.Activation and is_elementwise(function.activation)
    if function is None or function in _ELEMENTWISE or type(function) in _ELEMENTWISE_LAYERS:
        return True
    return is_entrywise(function)
