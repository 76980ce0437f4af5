"""Data that importances are measured on: batches of inputs and targets."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

_SIZE = 32  # samples in a batch, of arrays


def read_batches(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yields pairs of inputs and targets, the latter None where the data have none.

    Args:
        data: `x`, `(x, y)` of arrays, or dicts of arrays; or an iterable of batches of these.
    """
    if _is_arrays(data):
        data = data if isinstance(data, tuple) else (data,)
        count = len(keras.tree.flatten(data)[0])
        for start in range(0, count, _SIZE):
            yield _pair(keras.tree.map_structure(lambda array: array[start : start + _SIZE], data))  # noqa: B023
    else:
        for batch in data:
            yield _pair(batch)


def as_loss(loss: Any) -> Callable[[Any, Any], float]:
    """The loss as a function of targets and outputs: of each output if there are several, added up."""
    functions = keras.tree.map_structure(keras.losses.get, loss)

    def evaluate(targets: Any, outputs: Any) -> float:
        made, wanted = keras.tree.flatten(outputs), keras.tree.flatten(targets)
        each = keras.tree.flatten(functions)
        each = each * len(made) if len(each) == 1 else each
        parts = zip(each, wanted, made, strict=True)
        return sum(float(np.mean(keras.ops.convert_to_numpy(function(y, output)))) for function, y, output in parts)

    return evaluate


def _is_arrays(data: Any) -> bool:
    return hasattr(data, "shape") or (
        isinstance(data, tuple | dict) and all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(data))
    )


def _pair(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, tuple):
        return batch[0], batch[1] if len(batch) > 1 else None
    return batch, None
