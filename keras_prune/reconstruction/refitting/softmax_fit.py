"""What stands before a softmax, fitted to the probabilities of the original: a few steps of Newton.

Least squares of the logits spends itself on those of classes that are out of the question.
"""

import numpy as np

OPERATIONS = 2e10  # floating-point operations of a step
RIDGE = 1e-2  # of what the weights are held to, relative to the mean square of the inputs
STEPS = 8
_ENOUGH = 1e-6  # of the divergence, for another step


def can_fit_softmax(rows: int, inputs: int, outputs: int) -> bool:
    """Whether a step takes seconds at most."""
    return rows * (inputs * outputs) ** 2 <= OPERATIONS


def fit_softmax(columns: np.ndarray, logits: np.ndarray, start: np.ndarray, intercept: bool) -> np.ndarray:
    """The weights for which the mean divergence KL(softmax(logits) ‖ softmax(XW)) is least, held to those before.

    Args:
        columns: X, of shape (rows, inputs), the last one of ones if there is a bias.
        logits: What should come out, of shape (rows, outputs).
        start: The weights before, such as those of least squares.
        intercept: Whether there is a bias, which is not held.
    """
    rows, inputs = columns.shape
    outputs = logits.shape[1]
    targets, found = softmax(logits), np.array(start, np.float64)
    held = np.full((inputs, outputs), RIDGE * rows * np.square(columns).mean())
    held[inputs - intercept :] *= 1e-6  # for the same may be added to all logits

    def loss(weights: np.ndarray) -> float:
        products = columns @ weights
        top = products.max(axis=1, keepdims=True)
        logarithms = np.log(np.exp(products - top).sum(axis=1)) + top[:, 0]
        return float((logarithms - (targets * products).sum(axis=1)).sum() + (held * (weights - start) ** 2).sum() / 2)

    best = loss(found)
    for _ in range(STEPS):
        given = softmax(columns @ found)
        slope = columns.T @ (given - targets) + held * (found - start)
        spread = (columns[:, :, None] * given[:, None, :]).reshape(rows, -1)
        curvature = -(spread.T @ spread).reshape(inputs, outputs, inputs, outputs)
        for index in range(outputs):
            curvature[:, index, :, index] += (columns * given[:, index : index + 1]).T @ columns
        curvature = curvature.reshape(inputs * outputs, -1)
        curvature[np.diag_indices(len(curvature))] += held.ravel()
        step = np.linalg.solve(curvature, slope.ravel()).reshape(found.shape)
        lengths = (2.0**-power for power in range(6))
        tried = ((loss(found - length * step), found - length * step) for length in lengths)
        least, weights = next(((value, each) for value, each in tried if value < best), (best, found))
        gained, best, found = best - least, least, weights
        if gained <= _ENOUGH * rows:
            break
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
