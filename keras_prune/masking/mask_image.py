"""A mask as a small matrix of fractions: what plots and TensorBoard show."""

import dataclasses

import numpy as np

from keras_prune.selection.layout import Axes, default_axes


@dataclasses.dataclass(frozen=True)
class MaskImage:
    """A mask as an image.

    Args:
        pixels: Float matrix: the fraction kept, in [0, 1], of the entries of each pixel. Inputs are rows, outputs
            columns.
        matrix: Rows and columns of the whole mask.
        windows: How many places the window of a convolution has: so many times the inputs are repeated as rows.
    """

    pixels: np.ndarray
    matrix: tuple[int, int]
    windows: int


def mask_image(kept: np.ndarray, axes: Axes | None = None, limit: int = 256) -> MaskImage:
    """Draw a mask as a matrix, small enough for a plot: a pixel of a large mask stands for several entries.

    Args:
        kept: Boolean array of any shape, True = kept.
        axes: How the weight is a matrix. Defaults to window, inputs and outputs in this order.
        limit: Largest number of rows and of columns of the image. Defaults to 256.

    Returns:
        The `MaskImage`.
    """
    axes = axes or default_axes(kept.ndim)
    cube = axes.cube(kept)
    matrix = cube.reshape(-1, cube.shape[-1])
    pixels: np.ndarray = matrix.astype(np.float32)
    for axis, size in enumerate(matrix.shape):
        if size > limit:
            starts = np.linspace(0, size, limit, endpoint=False).astype(np.int64)
            counts = np.diff([*starts, size]).reshape((-1, 1) if axis == 0 else (1, -1))
            pixels = np.add.reduceat(pixels, starts, axis=axis) / counts
    return MaskImage(pixels, (matrix.shape[0], matrix.shape[1]), cube.shape[0])
