"""`plain_shell`: a model with masks, seen as a model of the class it had before it got them."""

from typing import Any

import keras


def plain_shell(model: Any) -> keras.Model:
    """Return an instance of the plain class of a pruned model that shares all layers, weights and other state with it.

    What names the class of a model in a file reads it from here, so that the model itself never changes its class:
    another thread may train it meanwhile. The shell says that it is not compiled.

    Args:
        model: A `PrunedModel`.
    """
    shell = object.__new__(type(model)._plain_class)
    object.__setattr__(shell, "__dict__", vars(model) | {"compiled": False})
    return shell
