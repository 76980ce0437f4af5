"""How a weight of any rank is a matrix: which of its axes are inputs, which outputs, and which of what is read."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Axes:
    """The axes of a weight.

    Args:
        window: Those of a convolution's window.
        inputs: Those along which the weight reads its inputs: what it is multiplied by there is summed.
        outputs: Those that tell its outputs apart.
        reads: Pairs of an axis of the weight and the axis of what the layer reads, counted from the end, that it is
            matched with: `((0, -1),)` for Dense. Where outputs come in groups that read apart, one of the pairs matches
            their axis with that of the groups, of which each belongs to as many outputs.
    """

    window: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    reads: tuple[tuple[int, int], ...] = ()

    def cube(self, array: np.ndarray) -> np.ndarray:
        """The entries by window, input and output."""
        sizes = [math.prod(array.shape[axis] for axis in part) for part in (self.window, self.inputs, self.outputs)]
        return array.transpose(*self.window, *self.inputs, *self.outputs).reshape(sizes)

    def matrix(self, array: np.ndarray) -> np.ndarray:
        """The entries with the inputs as rows, for each place in the window all of them, and the outputs as columns."""
        cube = self.cube(array)
        return cube.reshape(-1, cube.shape[-1])

    def restore(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Undoes `cube` and `matrix`, for a weight of this shape."""
        order = (*self.window, *self.inputs, *self.outputs)
        return array.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def default_axes(rank: int) -> Axes:
    """The axes of a kernel as most layers have it: window, inputs, outputs. Of a vector all are inputs."""
    if rank < 2:
        return Axes((), tuple(range(rank)), ())
    return Axes(tuple(range(rank - 2)), (rank - 2,), (rank - 1,))
