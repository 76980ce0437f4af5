"""Normal equations of least squares, added up batch by batch in float64: no inputs are kept.

For inputs X and products Y that should come out, these are XᵀX, XᵀY and the sums of squares of Y, from which the best
weights, and the error of any weights, follow. With a bias the inputs have one more column, of ones, at the end.
"""

import functools
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from keras_prune.measurement.batches import as_inputs
from keras_prune.measurement.layer_inputs import Hook, input_hooks
from keras_prune.measurement.padding import find_unused_padding
from keras_prune.reconstruction.views.linear_view import LinearView, counted_rows
from keras_prune.validation import check_finite

CHUNK = 1 << 22  # entries of the columns that are held at once
RIDGES = 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0


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
        self._spectra: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> None:
        """Adds the inputs of a call, as `LinearView.columns` takes them, and what the weight should make of them."""
        for columns, wanted in self.chunks(inputs, targets):
            self.add_rows(columns, wanted)

    def add_rows(self, columns: np.ndarray, wanted: np.ndarray | None = None) -> None:
        """Adds rows that `chunks` made, and the products that should come out."""
        self._spectra = {}
        for index, part in enumerate(columns.astype(np.float64, copy=False)):
            self.gram[index] += part.T @ part
            if wanted is not None:
                self.cross[index] += part.T @ wanted[index]
        if wanted is not None:
            self.squares += np.square(wanted, dtype=np.float64).sum(axis=1)
            self.sums += wanted.sum(axis=1, dtype=np.float64)
        self.rows += columns.shape[1]

    def chunks(
        self,
        inputs: np.ndarray,
        targets: np.ndarray | None = None,
        places: np.ndarray | None = None,
        counted: np.ndarray | None = None,
    ) -> Iterable[tuple[np.ndarray, np.ndarray | None]]:
        """The columns, with that of ones, and the targets of some samples at a time, in float64.

        Args:
            inputs: As `add` takes them.
            targets: Likewise. Defaults to None: there are none.
            places: Which rows of each sample are taken. Defaults to None: all of them.
            counted: Which positions count, a boolean array of the first axes of the inputs; rows of the others are left
                out. Defaults to None: all of them.
        """
        wanted = None if targets is None else self._view.rows(targets, places).astype(np.float64)
        done = 0
        for start, columns in self._columns(inputs, places):
            rows = None if wanted is None else wanted[:, done : done + columns.shape[1]]
            done += columns.shape[1]
            here = None if counted is None else counted[start:][: self._samples(inputs, places)]
            kept = counted_rows(self._view, inputs[start:], places, here)
            if kept is not None:
                columns, rows = columns[:, kept], None if rows is None else rows[:, kept]
            yield columns, rows

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> Iterable[np.ndarray]:
        """The columns of `chunks` alone, all of them."""
        for _, columns in self._columns(inputs, places):
            yield columns

    def _columns(self, inputs: np.ndarray, places: np.ndarray | None) -> Iterable[tuple[int, np.ndarray]]:
        """With the first sample of each."""
        groups, width, _ = self.gram.shape
        step = self._samples(inputs, places)
        for start in range(0, len(inputs), step):
            columns = self._view.columns(inputs[start : start + step], places)
            padded = np.empty((groups, columns.shape[1], width))
            padded[..., : columns.shape[2]] = columns
            padded[..., columns.shape[2] :] = 1
            yield start, padded

    def _samples(self, inputs: np.ndarray, places: np.ndarray | None) -> int:
        """Of how many samples the columns are held at once."""
        groups, width, _ = self.gram.shape
        # A window makes so many columns of each entry; what a place is differs, so this is only about right.
        factor = max(1, groups * width // max(inputs.shape[-1], 1))
        size = inputs.size // max(len(inputs), 1) if places is None else len(places) * inputs.shape[-1]
        return max(1, CHUNK // max(1, factor * size))

    def around_means(self) -> np.ndarray:
        """XᵀX of the inputs around their means, without the column of ones; needs one."""
        sums = self.gram[:, -1:, :-1]
        return self.gram[:, :-1, :-1] - np.swapaxes(sums, 1, 2) * sums / max(self.rows, 1)

    def error(self, matrices: np.ndarray) -> np.ndarray:
        """The sums of squares of XW - Y for these matrices, whose last row is the bias, of shape (groups, outputs)."""
        products = self.gram @ matrices - 2 * self.cross
        return np.maximum(self.squares + (matrices * products).sum(axis=1), 0.0)

    def solve(self, start: np.ndarray, ridge: float | None = 0.0) -> np.ndarray:
        """The matrices W for which |XW - Y|² + λ|W - start|² is least.

        Args:
            start: The weights as they are, with the bias as the last row, of shape (groups, inputs, outputs).
            ridge: λ, relative to the mean over the inputs of their sum of squares (with a bias: around their mean); the
                bias is not held back. None: the one of some that generalised cross-validation prefers (Golub et al.
                1979). Defaults to 0.0: of all the best weights, those that are closest to `start`.
        """
        found = np.array(start, np.float64)
        for index in range(len(found)):
            found[index] = self._solved(index, found[index], ridge)
        return found

    def _solved(self, index: int, start: np.ndarray, ridge: float | None) -> np.ndarray:
        gram, cross, rows = self.gram[index], self.cross[index], max(self.rows, 1)
        squares, weights = self.squares[index].sum(), start
        sums, totals = gram[-1, :-1], cross[-1]
        if self._intercept:  # the best bias follows from the weights: what is left is around the means
            gram = gram[:-1, :-1] - np.outer(sums, sums) / rows
            cross = cross[:-1] - np.outer(sums, totals) / rows
            squares, weights = squares - np.square(totals).sum() / rows, start[:-1]
        if index not in self._spectra:
            self._spectra[index] = np.linalg.eigh(gram)
        values, vectors = self._spectra[index]
        values = np.where(values > len(gram) * np.finfo(np.float64).eps * values[-1], values, 0.0)
        rest = vectors.T @ (cross - gram @ weights)
        if ridge is None:
            error = squares - (weights * (2 * cross - gram @ weights)).sum()
            ridge = _preferred(values, np.square(rest).sum(axis=1), error, rows - self._intercept)
        held = values + ridge * values.mean()
        inverse = np.divide(1.0, held, out=np.zeros_like(held), where=values > 0)
        weights = weights + vectors @ (inverse[:, None] * rest)
        if not self._intercept:
            return weights
        return np.concatenate([weights, ((totals - sums @ weights) / rows)[None]])


def _preferred(values: np.ndarray, energies: np.ndarray, error: float, rows: int) -> float:
    """The ridge that generalised cross-validation prefers: the least error for each degree of freedom that is left.

    Args:
        values: The eigenvalues of XᵀX.
        energies: The squares of what the errors have in common with the inputs, along each eigenvector.
        error: The sum of squares of the errors as they are.
        rows: The number of rows.
    """
    known = values > 0
    scores = []
    for ridge in RIDGES:
        held = values[known] + ridge * values.mean()
        share = values[known] / held
        left = max(error - (energies[known] / held * (2 - share)).sum(), 0.0)
        freedom = rows - share.sum()
        scores.append(left / freedom**2 if freedom > 0 else np.inf)
    return RIDGES[int(np.argmin(scores))] if min(scores) < np.inf else RIDGES[-1]


def second_moments(
    model: keras.Model,
    views: Sequence[LinearView],
    batches: Iterable,
    intercept: bool = False,
    most: int | None = None,
) -> list[NormalEquations]:
    """The normal equations of several weights without targets, in one pass over the data: XᵀX and the number of rows.

    The model is called eagerly, as in inference. What a layer inside of another one reads (a projection of attention,
    the cell of a recurrent layer at each step) is recorded too. Padding is left out where it makes no difference.

    Args:
        model: A copy that may be run.
        views: The weights, of layers of the model: see `linear_views`.
        batches: As `Batches` gives them: `(x, y, sample_weight)`.
        intercept: Whether the inputs get a column of ones. Defaults to False.
        most: How many rows of each sample are taken at most, at random. Defaults to None: all of them.

    Returns:
        For each view its equations. Those of a weight that the model never used have no rows.

    Raises:
        ValueError: An input is not finite.
    """
    found = [NormalEquations(view, intercept) for view in views]
    hooks: dict[int, dict[str, Hook]] = {}
    for view, equations in zip(views, found, strict=True):
        hooks.setdefault(id(view.layer), {})[view.name] = functools.partial(_add_some, view, equations, most)
    unused: frozenset[int] | None = None
    for x, *_ in batches:
        inputs = as_inputs(model, x)
        unused = find_unused_padding(model, hooks, inputs) if unused is None else unused
        with input_hooks(model, hooks, unused):
            model(inputs, training=False)
    for view, equations in zip(views, found, strict=True):
        check_finite(equations.gram, "Activations", f"the inputs of {view.weight.path}")
    return found


def _add_some(
    view: LinearView, equations: NormalEquations, most: int | None, inputs: np.ndarray, counted: np.ndarray | None
) -> None:
    """Adds the inputs of a call, of each sample no more rows than this."""
    there = view.columns(inputs[:1]).shape[1] if most is not None else 0
    places = None
    if most is not None and there > most:
        places = np.sort(np.random.default_rng(equations.rows).choice(there, most, replace=False))
    for columns, _ in equations.chunks(inputs, None, places, counted):
        equations.add_rows(columns)
