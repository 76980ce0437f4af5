"""Normal equations of least squares, added up batch by batch in float64: no inputs are kept.

For inputs X and products Y that should come out, these are XᵀX, XᵀY and the sums of squares of Y, from which the best
weights, and the error of any weights, follow. With a bias the inputs have one more column, of ones, at the end.
"""

from collections.abc import Iterable, Sequence

import keras
import numpy as np

from keras_prune.measurement.layer_inputs import Hook, input_hooks
from keras_prune.reconstruction.linear_views import LinearView
from keras_prune.validation import check_finite

CHUNK = 1 << 22  # entries of the columns that are held at once


class NormalEquations:
    """Sums over the rows that a weight multiplies.

    Args:
        view: The weight.
        intercept: Whether the inputs get a column of ones, for the bias. Defaults to True.

    Attributes:
        gram: XᵀX, of shape (groups, inputs, inputs), with the column of ones inputs + 1.
        cross: XᵀY, of shape (groups, inputs, outputs); zeros if no targets were added.
        squares: The sums of squares of Y, of shape (groups, outputs).
        sums: The sums of Y, likewise.
        rows: How many rows were added.
    """

    def __init__(self, view: LinearView, intercept: bool = True):
        groups, inputs, outputs = view.matrices().shape
        self._view, self._intercept = view, intercept
        width = inputs + intercept
        self.gram = np.zeros((groups, width, width))
        self.cross = np.zeros((groups, width, outputs))
        self.squares, self.sums = np.zeros((groups, outputs)), np.zeros((groups, outputs))
        self.rows = 0

    def add(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> None:
        """Adds the inputs of a call, as `LinearView.columns` takes them, and what the weight should make of them."""
        for columns, wanted in self.chunks(inputs, targets):
            for index, part in enumerate(columns):
                self.gram[index] += part.T @ part
                if wanted is not None:
                    self.cross[index] += part.T @ wanted[index]
            if wanted is not None:
                self.squares += np.square(wanted).sum(axis=1)
                self.sums += wanted.sum(axis=1)
            self.rows += columns.shape[1]

    def chunks(
        self, inputs: np.ndarray, targets: np.ndarray | None = None
    ) -> Iterable[tuple[np.ndarray, np.ndarray | None]]:
        """The columns, with that of ones, and the targets of some samples at a time, in float64."""
        groups, width, _ = self.gram.shape
        # A window makes so many columns of each entry; what a place is differs, so this is only about right.
        factor = max(1, groups * width // max(inputs.shape[-1], 1))
        step = max(1, CHUNK // max(1, factor * (inputs.size // max(len(inputs), 1))))
        for start in range(0, len(inputs), step):
            columns = self._view.columns(inputs[start : start + step])
            padded = np.empty((groups, columns.shape[1], width))
            padded[..., : columns.shape[2]] = columns
            padded[..., columns.shape[2] :] = 1
            wanted = None if targets is None else self._view.rows(targets[start : start + step]).astype(np.float64)
            yield padded, wanted

    def error(self, matrices: np.ndarray) -> np.ndarray:
        """The sums of squares of XW - Y for these matrices, whose last row is the bias, of shape (groups, outputs)."""
        products = self.gram @ matrices - 2 * self.cross
        return np.maximum(self.squares + (matrices * products).sum(axis=1), 0.0)

    def solve(self, start: np.ndarray, ridge: float = 0.0) -> np.ndarray:
        """The matrices W for which |XW - Y|² + λ|W - start|² is least.

        Args:
            start: The weights as they are, with the bias as the last row, of shape (groups, inputs, outputs).
            ridge: λ, relative to the mean of the diagonal of XᵀX of each group; the bias is not held back. Defaults to
                0.0: of all the best weights, those that are closest to `start`.
        """
        found = np.array(start, np.float64)
        for index, gram in enumerate(self.gram):
            found[index] += _change(gram, self.cross[index] - gram @ found[index], ridge, self._intercept)
        return found


def _change(gram: np.ndarray, rest: np.ndarray, ridge: float, intercept: bool) -> np.ndarray:
    """What is added to the weights. The rest is what the errors have in common with the inputs.

    The equations are scaled so that all inputs have the same size: else an image of values up to 255 beside a column of
    ones costs digits.
    """
    diagonal = np.diagonal(gram)
    held = np.full(len(gram), ridge * diagonal[: len(gram) - intercept].mean() if len(gram) > intercept else 0.0)
    if intercept:
        held[-1] = 0.0
    size = np.sqrt(diagonal + held)
    scale = np.divide(
        1.0, size, out=np.zeros_like(size), where=size > 0
    )  # an input that is always zero keeps its weight
    scaled = (gram + np.diag(held)) * scale[:, None] * scale
    values, vectors = np.linalg.eigh(scaled)
    known = values > len(gram) * np.finfo(np.float64).eps * values[-1]
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=known)
    return scale[:, None] * (vectors @ (inverse[:, None] * (vectors.T @ (scale[:, None] * rest))))


def second_moments(
    model: keras.Model, views: Sequence[LinearView], batches: Iterable, intercept: bool = False
) -> list[NormalEquations]:
    """The normal equations of several weights without targets, in one pass over the data: XᵀX and the number of rows.

    The model is called eagerly, as in inference. What a layer inside of another one reads (a projection of attention,
    the cell of a recurrent layer at each step) is recorded too.

    Args:
        model: A copy that may be run.
        views: The weights, of layers of the model: see `linear_views`.
        batches: As `Batches` gives them: `(x, y, sample_weight)`.
        intercept: Whether the inputs get a column of ones. Defaults to False.

    Returns:
        For each view its equations. Those of a weight that the model never used have no rows.

    Raises:
        ValueError: An input is not finite.
    """
    found = [NormalEquations(view, intercept) for view in views]
    hooks: dict[int, dict[str, Hook]] = {}
    for view, equations in zip(views, found, strict=True):
        hooks.setdefault(id(view.layer), {})[view.name] = equations.add
    with input_hooks(model, hooks):
        for x, *_ in batches:
            model(x, training=False)
    for view, equations in zip(views, found, strict=True):
        check_finite(equations.gram, "Activations", f"the inputs of {view.weight.path}")
    return found
