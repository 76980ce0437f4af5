"""The values that a window sees, one row for each place: a convolution as a product of matrices.

They are the outputs of the very operation that the layer runs, with a kernel that picks out one place of the window for
each output: so padding, strides and dilation are what the backend makes of them, and transposed convolutions need no
arithmetic of their own.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

Operation = Callable[[Any, np.ndarray], Any]


def windows(values: np.ndarray, size: tuple[int, ...], convolve: Operation, transposed: bool) -> np.ndarray:
    """What each window sees of each channel.

    Args:
        values: Float array of shape (samples, *places, channels).
        size: The size of the window.
        convolve: Convolves a tensor of one channel, channels last, with a kernel of as many outputs as needed.
        transposed: Whether a kernel has its outputs before its inputs.

    Returns:
        Array of shape (samples, *places of the outputs, places of the window, channels).
    """
    places = math.prod(size)
    ends = (places, 1) if transposed else (1, places)
    picks = np.eye(places, dtype=values.dtype).reshape(*size, *ends)
    samples, channels = len(values), values.shape[-1]
    alone = np.moveaxis(values, -1, 1).reshape(samples * channels, *values.shape[1:-1], 1)
    seen = ops.convert_to_numpy(convolve(ops.convert_to_tensor(alone), picks))
    return np.moveaxis(seen.reshape(samples, channels, *seen.shape[1:]), 1, -1)
