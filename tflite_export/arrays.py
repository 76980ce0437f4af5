"""Arrays with a batch axis: checked on the way into a model, joined on the way out."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def as_batch(value: Any, shape: Sequence[int], dtype: str, name: str) -> np.ndarray:
    """Makes of `value` an array (samples, *shape) of the given type.

    Raises:
        ValueError: Another shape, no sample, or values that the type cannot hold.
    """
    array = np.asarray(value)
    if array.ndim == 0 or array.shape[1:] != tuple(shape):
        allowed = f"(samples, {', '.join(map(str, shape))})" if len(shape) else "(samples,)"
        raise ValueError(f"The input {name!r} must have shape {allowed}. Received: shape {array.shape}")
    if not len(array):
        raise ValueError(f"The input {name!r} must have at least one sample. Received: shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"The input {name!r} must hold numbers for {dtype}. Received: dtype {array.dtype}")
    with np.errstate(invalid="ignore"):
        cast = np.ascontiguousarray(array, dtype=dtype)
    if cast.dtype.kind in "biu" and not np.array_equal(cast, array):
        raise ValueError(
            f"The input {name!r} must hold values that {dtype} can hold. "
            f"Received: dtype {array.dtype} with values from {array.min()} to {array.max()}"
        )
    return cast


def is_list_of_batches(value: Any, rank: int) -> bool:
    """Whether `value` lists arrays with a batch axis, one per input, and is not one batch as a list."""
    return isinstance(value, list | tuple) and bool(value) and all(np.ndim(item) == rank for item in value)


def same_length(arrays: Sequence[np.ndarray]) -> None:
    """Raises a ValueError unless all arrays have as many samples as the first."""
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"All inputs must have the same number of samples. Received: {lengths}")


def join(calls: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Turns the outputs of calls with a batch of one into one array per output, samples along the first axis.

    An output without that batch axis (a mean over the batch, say) is stacked.
    """
    columns = zip(*calls, strict=True)
    return [
        np.concatenate(column) if all(np.ndim(x) and len(x) == 1 for x in column) else np.stack(column)
        for column in columns
    ]
