"""Which activation functions treat each channel on its own."""

from collections.abc import Callable
from typing import Any

from keras import activations

from keras_prune.channels.call import Unsupported

_NAMES = (
    "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid mish relu "
    "relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus sparse_sigmoid squareplus tanh tanh_shrink "
    "threshold"
)
_ELEMENTWISE = [getattr(activations, name) for name in _NAMES.split() if hasattr(activations, name)]
# Layers made of an element-wise function, which may serve as activations.
_ELEMENTWISE_LAYERS = {"ReLU", "LeakyReLU", "ELU"}


def check_activation(function: Callable[..., Any] | None) -> None:
    """Passes if the function maps each entry of a tensor alone.

    Raises:
        Unsupported: It may mix channels, like softmax, or is not a function of Keras.
    """
    known = function is None or function in _ELEMENTWISE
    if not known and type(function).__name__ not in _ELEMENTWISE_LAYERS:
        name = getattr(function, "__name__", type(function).__name__)
        raise Unsupported(f"its activation '{name}' may mix channels")
