"""Arrays with a batch axis: checked on the way into a model, joined on the way out."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def as_batch(value: Any, shape: Sequence[int], dtype: str, name: str) -> np.ndarray:
    """Return `value` as an array (samples, *shape) of the given type.

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
    """Raise a ValueError unless all arrays have as many samples as the first."""
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"All inputs must have the same number of samples. Received: {lengths}")


def part(batches: Sequence[np.ndarray], start: int, size: int, batch: int | None) -> list[np.ndarray]:
    """Some samples as the inputs of one call, the last of them repeated until a fixed batch is full."""
    rows = [array[start : start + size] for array in batches]
    missing = 0 if batch is None else batch - size
    return [np.concatenate([row, np.repeat(row[-1:], missing, axis=0)]) for row in rows] if missing else rows


def parts(batches: Sequence[np.ndarray], sizes: Sequence[int], batch: int | None) -> list[list[np.ndarray]]:
    """The inputs of several calls, of so many samples each."""
    starts = np.cumsum([0, *sizes]).tolist()
    return [part(batches, start, size, batch) for start, size in zip(starts, sizes, strict=False)]


def call_sizes(samples: int, batch: int) -> list[int]:
    """How many samples each call takes, with as many as a batch holds at most."""
    return [min(batch, samples - start) for start in range(0, samples, batch)]


def join(calls: Sequence[Sequence[np.ndarray]], sizes: Sequence[int], batch: int | None) -> list[np.ndarray]:
    """Join the outputs of calls into one array per output, samples along the first axis.

    An output without a batch axis (a mean over the batch, say) is stacked, an entry for each call.

    Args:
        calls: For each call its outputs.
        sizes: How many samples each call had.
        batch: How many rows each call had, with those that only filled it up; None: as many as samples.

    Raises:
        ValueError: An output has no batch axis, and another shape in each call.
    """
    rows = [size if batch is None else batch for size in sizes]
    joined = []
    for column in zip(*calls, strict=True):
        if all(np.ndim(x) and len(x) == count for x, count in zip(column, rows, strict=True)):
            joined.append(np.concatenate([x[:size] for x, size in zip(column, sizes, strict=True)]))
        elif len(shapes := {np.shape(x) for x in column}) == 1:
            joined.append(np.stack(column))
        else:
            raise ValueError(
                f"Outputs must have a batch axis, or the same shape for all batches. Received: shapes {sorted(shapes)} "
                f"for batches of {sorted(set(rows))}"
            )
    return joined


def relative_error(values: np.ndarray, reference: np.ndarray) -> float:
    """Return the root of the mean squared error, relative to the standard deviation of the reference.

    1 is the error of a constant, the mean of the reference. A reference that is constant is taken for a number of its
    size, so that rounding is no error. NaN is an infinite error.
    """
    if not reference.size:
        return 0.0
    values, reference = values.astype("float64"), reference.astype("float64")
    error = float(np.sqrt(np.mean((values - reference) ** 2)))
    spread = float(reference.std())
    size = float(np.abs(reference).max())
    spread = spread if spread > 1e-6 * size else size
    if not np.isfinite(error):
        return float("inf")
    return error / spread if spread else float(error > 0)
