"""How a weight of any rank is a matrix: which of its axes are inputs, which outputs."""

import dataclasses
import math

import numpy as np

from tflite_export.reporting import Shown


@dataclasses.dataclass(frozen=True)
class Axes(Shown):
    """The axes of a weight.

    Args:
        window: The axes of a convolution's window.
        inputs: The axes of the inputs, over which the products are summed.
        outputs: The axes of the outputs.
        reads: Pairs of an axis of the weight and the axis of the layer's input that it is matched with, counted from
            the end: `((0, -1),)` for Dense. Where groups of outputs have inputs of their own, one of the pairs matches
            the outputs with the groups, each of which has equally many outputs. Defaults to ().
    """

    window: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    reads: tuple[tuple[int, int], ...] = ()

    def cube(self, array: np.ndarray) -> np.ndarray:
        """Return the entries by window, input and output."""
        sizes = [math.prod(array.shape[axis] for axis in part) for part in (self.window, self.inputs, self.outputs)]
        return array.transpose(*self.window, *self.inputs, *self.outputs).reshape(sizes)

    def matrix(self, array: np.ndarray) -> np.ndarray:
        """Return the entries with outputs as columns and inputs as rows, all of them for each place in the window."""
        cube = self.cube(array)
        return cube.reshape(-1, cube.shape[-1])

    def restore(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Undo `cube` and `matrix`, for a weight of this shape."""
        order = (*self.window, *self.inputs, *self.outputs)
        return array.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def default_axes(rank: int) -> Axes:
    """Return the axes of a kernel as most layers have it: window, inputs, outputs. Those of a vector are all inputs."""
    if rank < 2:
        return Axes((), tuple(range(rank)), ())
    return Axes(tuple(range(rank - 2)), (rank - 2,), (rank - 1,))
