"""On torch, weights are finished after each step of an optimizer of `torch.optim`, which knows no constraints of Keras.

PyTorch calls one function after the steps of all its optimizers; it is registered when the first mask is made.
"""

import functools
import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import keras

Finish = Callable[[keras.Variable], None]

_WEIGHTS: dict[int, "weakref.ref[keras.Variable]"] = {}  # by identity: variables have no hash
_FINISHES: list[Finish] = []  # the one function, once it is registered


def finish_after_steps(weights: Iterable[keras.Variable], finish: Finish) -> None:
    """Call `finish(weight)` after each step of PyTorch's optimizers that updates the weight. Nothing on other backends.

    Args:
        weights: The weights. They are not kept alive.
        finish: The function; the same in every call.
    """
    if keras.backend.backend() != "torch":
        return
    for weight in weights:
        _WEIGHTS[id(weight)] = weakref.ref(weight, functools.partial(_forget, id(weight)))
    if not _FINISHES:
        sys.modules["torch.optim.optimizer"].register_optimizer_step_post_hook(_after_step)
        _FINISHES.append(finish)


def _forget(key: int, _: Any) -> None:
    _WEIGHTS.pop(key, None)


def _after_step(optimizer: Any, args: Any, kwargs: Any) -> None:
    updated = {id(each) for group in optimizer.param_groups for each in group["params"]}
    for reference in list(_WEIGHTS.values()):
        weight = reference()
        if weight is not None and id(weight.value) in updated:
            _FINISHES[0](weight)
