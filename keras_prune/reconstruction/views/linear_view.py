"""A weight as a linear map: matrices, the rows that they multiply, and the rows that come out.

Groups of channels are matrices side by side that read different columns. So every weight is an array of shape
(groups, inputs, outputs), its inputs one of shape (groups, rows, inputs), and what it gives (groups, rows, outputs).
"""

import keras
import numpy as np

from keras_prune import _keras


class LinearView:
    """A weight that multiplies the last axis of its inputs, as that of `Dense` does; other kinds derive from it.

    Args:
        layer: The layer that holds it, such as a cell or a projection of attention.
        name: Its name there: `"kernel"`.
        bias: The bias that is added to the products, None if there is none. Defaults to None.
        groups: Number of matrices. Defaults to 1.
        internal: Whether its products are not the outputs of the layer before its activation, but something inside of
            it. Defaults to False.

    Attributes:
        by_position: Whether each position of the inputs makes rows of its own, in the order of the positions.
    """

    by_position = True

    def __init__(
        self,
        layer: keras.Layer,
        name: str,
        bias: keras.Variable | None = None,
        groups: int = 1,
        internal: bool = False,
    ):
        self.layer, self.name, self.bias, self.groups, self.internal = layer, name, bias, groups, internal
        self.weight: keras.Variable = getattr(layer, name)

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        """The inputs of the weight as rows: array of shape (groups, rows, inputs).

        Args:
            inputs: What the layer is called with, or the input of the weight that `input_hooks` records.
            places: Which rows of each sample are asked for. Defaults to None: all of them.
        """
        return picked(as_float(inputs).reshape(1, -1, inputs.shape[-1]), len(inputs), places)

    def rows(self, outputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        """Products, in the shape in which the layer has them, as rows: array of shape (groups, rows, outputs)."""
        return picked(self._grouped(as_float(outputs)), len(outputs), places)

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        """The weight, or an array of its shape, of shape (groups, inputs, outputs)."""
        return np.asarray(self._values(values))[None]

    def weights(self, matrices: np.ndarray) -> np.ndarray:
        """An array in the shape of the weight: undoes `matrices`."""
        return matrices.reshape(self.weight.shape)

    def offsets(self) -> np.ndarray:
        """The bias, of shape (groups, outputs)."""
        assert self.bias is not None
        return _keras.as_numpy(self.bias).reshape(self.groups, -1)

    def biases(self, offsets: np.ndarray) -> np.ndarray:
        """An array in the shape of the bias: undoes `offsets`."""
        assert self.bias is not None
        return offsets.reshape(self.bias.shape)

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """The products with these columns, the bias included: array of shape (groups, rows, outputs)."""
        products = columns @ self.matrices()
        return products if self.bias is None else products + self.offsets()[:, None]

    def _values(self, values: np.ndarray | None) -> np.ndarray:
        return _keras.as_numpy(self.weight) if values is None else values

    def _grouped(self, values: np.ndarray) -> np.ndarray:
        """Rows whose last axis holds the groups one after the other."""
        return np.moveaxis(values.reshape(-1, self.groups, values.shape[-1] // self.groups), 1, 0)


class WrappedView(LinearView):
    """A view of the same weight that reads its inputs or outputs in another form, as classes that derive from it say.

    Args:
        view: The weight.
    """

    def __init__(self, view: LinearView):
        super().__init__(view.layer, view.name, view.bias, view.groups, view.internal)
        self._view, self.by_position = view, view.by_position

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return self._view.columns(inputs, places)

    def rows(self, outputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return self._view.rows(outputs, places)

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        return self._view.matrices(values)

    def weights(self, matrices: np.ndarray) -> np.ndarray:
        return self._view.weights(matrices)

    def offsets(self) -> np.ndarray:
        return self._view.offsets()

    def biases(self, offsets: np.ndarray) -> np.ndarray:
        return self._view.biases(offsets)


def counted_rows(
    view: LinearView, inputs: np.ndarray, places: np.ndarray | None, counted: np.ndarray | None
) -> np.ndarray | None:
    """Which of the rows that `LinearView.columns` makes of some inputs count; None if all do.

    Args:
        view: The weight.
        inputs: As that takes them.
        places: Likewise.
        counted: Which positions of the inputs count: a boolean array of their first axes.
    """
    if counted is None or not view.by_position:
        return None
    rows = view.columns(inputs[:1]).shape[1]  # of each sample
    positions = counted.reshape(len(counted), -1)
    if rows % positions.shape[1]:
        return None
    found = np.repeat(positions, rows // positions.shape[1], axis=1)
    return (found if places is None else found[:, places]).reshape(-1)


def picked(rows: np.ndarray, samples: int, places: np.ndarray | None) -> np.ndarray:
    """These rows of each sample."""
    if places is None:
        return rows
    groups, _, width = rows.shape
    return rows.reshape(groups, samples, -1, width)[:, :, places].reshape(groups, -1, width)


def as_float(values: np.ndarray) -> np.ndarray:
    """In a precision that NumPy multiplies quickly."""
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)
