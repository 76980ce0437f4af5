"""The values that a window sees, one row for each place: a convolution as a product of matrices."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops


def patches(
    values: np.ndarray,
    size: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: str,
    places: np.ndarray | None = None,
) -> np.ndarray:
    """What the window of a convolution sees of each channel.

    Args:
        values: Array of shape (samples, *places, channels).
        size: The size of the window.
        strides: How far it moves, along each axis.
        dilation: How far its own places are apart.
        padding: `"valid"`, `"same"` or `"causal"`.
        places: The numbers of the outputs' places that are asked for. Defaults to None: all.

    Returns:
        Array of shape (samples, places of the outputs, places of the window, channels).
    """
    widths = [(extent - 1) * step + 1 for extent, step in zip(size, dilation, strict=True)]
    padded = np.pad(values, [(0, 0), *map(_pads, values.shape[1:-1], widths, strides, [padding] * len(size)), (0, 0)])
    places_of = [
        (length - width) // step + 1 for length, width, step in zip(padded.shape[1:-1], widths, strides, strict=True)
    ]
    if places is not None:
        places_of_rows = np.unravel_index(places, places_of)
    count = math.prod(places_of) if places is None else len(places)
    seen = np.empty((len(values), count, math.prod(size), values.shape[-1]), values.dtype)
    for number, offset in enumerate(np.ndindex(*size)):
        first = [each * apart for each, apart in zip(offset, dilation, strict=True)]
        if places is None:
            where = [
                slice(start, start + (many - 1) * step + 1, step)
                for start, many, step in zip(first, places_of, strides, strict=True)
            ]
            seen[:, :, number] = padded[(slice(None), *where)].reshape(len(values), count, -1)
        else:
            at = [start + step * each for start, each, step in zip(first, places_of_rows, strides, strict=True)]
            seen[:, :, number] = padded[(slice(None), *at)]
    return seen


def _pads(length: int, width: int, step: int, padding: str) -> tuple[int, int]:
    if padding == "causal":
        return width - 1, 0
    if padding != "same":
        return 0, 0
    missing = max((-(-length // step) - 1) * step + width - length, 0)
    return missing // 2, missing - missing // 2


def transposed_patches(
    values: np.ndarray, size: tuple[int, ...], convolve: Callable[[Any, np.ndarray], Any]
) -> np.ndarray:
    """What each output of a transposed convolution sees of each channel; as `patches`.

    That is what the operation itself makes of a kernel that has an output for each place of the window: so padding,
    strides and dilation are what the backend makes of them.

    Args:
        values: Array of shape (samples, *places, channels).
        size: The size of the window.
        convolve: Convolves a tensor of one channel, channels last, with a kernel of as many outputs as needed.
    """
    places = math.prod(size)
    picks = np.eye(places, dtype=values.dtype).reshape(*size, places, 1)
    samples, channels = len(values), values.shape[-1]
    alone = np.moveaxis(values, -1, 1).reshape(samples * channels, *values.shape[1:-1], 1)
    seen = ops.convert_to_numpy(convolve(ops.convert_to_tensor(alone), picks))
    return np.moveaxis(seen.reshape(samples, channels, -1, places), 1, -1)
