"""Least squares for a mask that is given: the kept weights of each output take over what the pruned ones did.

Each output has equations of its own, those of its kept inputs. They are solved exactly: for the kept inputs or, where
those are the more, for what the pruned ones change. Where that would take long, in the wide layers of large models, all
outputs are solved together by conjugate gradients, which improve at each step on the weights that they begin with.
"""

from collections.abc import Iterator

import numpy as np

from keras_prune.reconstruction.masks.quadratic import Quadratic

EXACT = 4e11  # floating-point operations that an exact solution may take
STEPS = 30  # of conjugate gradients
_ENTRIES = 1 << 21  # of the matrices that are solved at a time


def fit_kept(
    problem: Quadratic, kept: np.ndarray, start: np.ndarray | None = None, operations: float = EXACT, steps: int = STEPS
) -> np.ndarray:
    """Return the weights of the least error among those that are zero where the mask prunes.

    Args:
        problem: The error, whose moments are positive definite.
        kept: The mask: boolean array (groups, inputs, outputs), True = kept.
        start: Weights that conjugate gradients begin with. Defaults to zeros.
        operations: Floating-point operations that an exact solution may take; beyond that, conjugate gradients.
            Defaults to a few seconds of them.
        steps: How many steps of these. Defaults to 30.
    """
    counts = kept.sum(axis=1, dtype=float)
    inputs = kept.shape[1]
    if float((np.minimum(counts, inputs - counts) ** 3).sum()) > operations:
        return _descend(problem, kept, np.zeros(kept.shape) if start is None else np.where(kept, start, 0.0), steps)
    return _Columns(problem, kept).solve(None)[0]


def fit_and_price(problem: Quadratic, kept: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, always exact, and how much the error rises when a kept weight is removed and the others take over:
    `w² / (H⁻¹)ᵢᵢ` over the kept inputs (Hassibi and Stork 1993, "Second order derivatives for network pruning").

    Args:
        problem: The error.
        kept: The mask.
        inverse: The inverse of its moments.

    Returns:
        The weights, and the rises: 0 where the mask prunes.
    """
    weights, variances = _Columns(problem, kept).solve(inverse)
    return weights, np.square(weights) / variances


class _Columns:
    """The equations of each output."""

    def __init__(self, problem: Quadratic, kept: np.ndarray):
        groups, self._inputs, outputs = kept.shape
        self._moments = problem.moments
        self._products = problem.products
        self._shape = groups, outputs, self._inputs
        self._group = np.repeat(np.arange(groups), outputs)
        self._kept = self._by_output(kept)

    def _by_output(self, array: np.ndarray) -> np.ndarray:
        return array.transpose(0, 2, 1).reshape(len(self._group), self._inputs)

    def solve(self, inverse: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The weights and, given the inverse moments, their variances `(H⁻¹)ᵢᵢ`, else ones."""
        kept = self._kept.sum(axis=1, dtype=float)
        pruned = self._inputs - kept
        if inverse is None:
            few = pruned < kept
            inverse_of_all = np.linalg.inv(self._moments) if few.any() else self._moments
        else:
            few = pruned**3 + 2 * self._inputs * pruned**2 < 2 * kept**3
            inverse_of_all = inverse
        rights = self._by_output(self._products)
        free = self._by_output(inverse_of_all @ self._products) if few.any() else rights
        weights, variances = free.copy(), np.diagonal(inverse_of_all, axis1=1, axis2=2)[self._group]
        for part, places, valid in _chunks(np.flatnonzero(~few), self._kept):
            matrix = self._gather(self._moments, part, places, valid)
            right = np.where(valid, np.take_along_axis(rights[part], places, 1), 0.0)[..., None]
            rows, at = np.nonzero(valid)
            found = part[rows], places[rows, at]
            if inverse is None:
                weights[found] = np.linalg.solve(matrix, right)[rows, at, 0]
            else:
                inner = np.linalg.inv(matrix)
                weights[found] = (inner @ right)[rows, at, 0]
                variances[found] = np.diagonal(inner, axis1=1, axis2=2)[rows, at]
        for part, places, valid in _chunks(np.flatnonzero(few), ~self._kept):
            matrix = self._gather(inverse_of_all, part, places, valid)
            rows = np.where(valid[..., None], inverse_of_all[self._group[part][:, None], places], 0.0)
            removed = np.where(valid, np.take_along_axis(free[part], places, 1), 0.0)
            if inverse is None:
                change = np.linalg.solve(matrix, removed[..., None]).swapaxes(1, 2) @ rows
                weights[part] = free[part] - change[:, 0]
            else:
                solved = np.linalg.solve(matrix, rows)
                weights[part] = free[part] - (removed[:, None] @ solved)[:, 0]
                variances[part] -= np.einsum("csn,csn->cn", rows, solved)
        weights[~self._kept] = 0.0
        variances[~self._kept] = 1.0
        return self._restored(weights), self._restored(variances)

    def _gather(self, matrices: np.ndarray, part: np.ndarray, places: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The entries of each output's inputs; those of the padding are from the unit matrix."""
        found = matrices[self._group[part][:, None, None], places[:, :, None], places[:, None, :]]
        return np.where(valid[:, :, None] & valid[:, None, :], found, np.eye(places.shape[1]))

    def _restored(self, array: np.ndarray) -> np.ndarray:
        return array.reshape(self._shape).transpose(0, 2, 1)


def _chunks(columns: np.ndarray, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Columns with about equally many chosen inputs: their numbers, the places of these inputs, and which places count,
    since each has as many as the longest."""
    counts = chosen[columns].sum(axis=1)
    order = np.argsort(counts, kind="stable")
    columns, counts = columns[order], counts[order]
    start = 0
    while start < len(columns):
        size = max(_ENTRIES // max(int(counts[start]) * chosen.shape[1], 1), 1)
        most = max(int(counts[start] * 1.1), int(counts[start]) + 4)
        stop = start + min(size, int(np.searchsorted(counts[start:], most, side="right")))
        part = columns[start:stop]
        width = int(counts[stop - 1])
        if width:
            places = np.argsort(~chosen[part], axis=1, kind="stable")[:, :width]
            yield part, places, np.arange(width) < counts[start:stop, None]
        start = stop


def _descend(problem: Quadratic, kept: np.ndarray, weights: np.ndarray, steps: int) -> np.ndarray:
    """Conjugate gradients over the kept weights, scaled by the moments of their inputs."""
    scale = np.diagonal(problem.moments, axis1=1, axis2=2)[..., None]
    residual = np.where(kept, problem.products - problem.moments @ weights, 0.0)
    direction = scaled = residual / scale
    product = (residual * scaled).sum(axis=1, keepdims=True)
    first = product
    for _ in range(steps):
        image = np.where(kept, problem.moments @ direction, 0.0)
        curvature = (direction * image).sum(axis=1, keepdims=True)
        # Outputs that have arrived stay where they are.
        step = np.divide(product, curvature, out=np.zeros_like(product), where=product > 1e-20 * first)
        weights = weights + step * direction
        residual = residual - step * image
        scaled = residual / scale
        after = (residual * scaled).sum(axis=1, keepdims=True)
        direction = scaled + np.divide(after, product, out=np.zeros_like(product), where=product > 0) * direction
        product = after
    return weights
