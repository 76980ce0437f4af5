"""A mask as a small matrix of fractions: what plots and TensorBoard show."""

import dataclasses

import numpy as np

from keras_prune.selection.layout import Axes, default_axes


@dataclasses.dataclass(frozen=True)
class MaskView:
    """A mask as an image.

    Args:
        image: The fraction that is kept, in [0, 1], of each dot; inputs are rows, outputs columns.
        matrix: Rows and columns of the whole mask.
        windows: How many places the window of a convolution has: so many times the inputs are repeated as rows.
    """

    image: np.ndarray
    matrix: tuple[int, int]
    windows: int


def mask_view(kept: np.ndarray, axes: Axes | None = None, limit: int = 256) -> MaskView:
    """Makes a mask a matrix, and as many of its entries one dot as are needed to keep it small.

    Args:
        kept: Boolean array, True = kept.
        axes: How it is a matrix. Default: window, inputs and outputs in this order.
        limit: Rows and columns of the image at most.
    """
    axes = axes or default_axes(kept.ndim)
    cube = axes.cube(kept)
    matrix = cube.reshape(-1, cube.shape[-1])
    image: np.ndarray = matrix.astype(np.float32)
    for axis, size in enumerate(matrix.shape):
        if size > limit:
            starts = np.linspace(0, size, limit, endpoint=False).astype(np.int64)
            counts = np.diff([*starts, size]).reshape((-1, 1) if axis == 0 else (1, -1))
            image = np.add.reduceat(image, starts, axis=axis) / counts
    return MaskView(image, (matrix.shape[0], matrix.shape[1]), cube.shape[0])
