"""A sweep over the inputs of a layer, for layers of many inputs: one factorisation for all outputs.

(Frantar and Alistarh 2023, "SparseGPT: massive language models can be accurately pruned in one-shot".)
"""

import numpy as np

from keras_prune.reconstruction.choice import Choose
from keras_prune.reconstruction.given_mask import fit_kept
from keras_prune.reconstruction.quadratic import Quadratic

BLOCK = 128  # inputs whose masks are chosen together


def sweep(
    problem: Quadratic, kept: np.ndarray, choose: Choose, block: int = BLOCK
) -> tuple[np.ndarray, np.ndarray]:
    """Choose a mask and update weights, block of inputs by block, then fit what the mask keeps.

    When the sweep comes to an input, its pruned weights are removed and the weights of all inputs after it take over.
    The choice in a block so sees what the blocks before it left to do; no weight of them is changed again until the end.

    Args:
        problem: The error, whose moments are positive definite.
        kept: The mask so far.
        choose: How scores, `w² / (H⁻¹)ᵢᵢ`, become masks.
        block: Number of inputs in a block. Defaults to 128.

    Returns:
        The mask, and the weights of the least error for it.
    """
    inputs = kept.shape[1]
    # H⁻¹ = UᵀU with U upper triangular: from the factor of H with its inputs in reverse order.
    factor = np.linalg.inv(np.linalg.cholesky(problem.moments[:, ::-1, ::-1]))[:, ::-1, ::-1]
    weights = np.swapaxes(factor, 1, 2) @ (factor @ problem.products)
    variances = np.square(np.diagonal(factor, axis1=1, axis2=2))[..., None]
    kept = kept.copy()
    for start in range(0, inputs, block):
        stop = min(start + block, inputs)
        scores = np.square(weights) / variances
        scores[:, :start] += scores.max() + 1.0  # what is decided is kept before all others
        kept[:, start:stop] = choose(scores, kept, 1.0)[:, start:stop]
        weights = _remove(weights, ~kept[:, start:stop], factor, start, stop)
    return kept, fit_kept(problem, kept, weights)


def _remove(weights: np.ndarray, pruned: np.ndarray, factor: np.ndarray, start: int, stop: int) -> np.ndarray:
    """The weights without those that are pruned in a block, and with those after them as they take over."""
    errors = np.zeros(pruned.shape)
    for row in range(start, stop):
        at = row - start
        errors[:, at] = np.where(pruned[:, at], weights[:, row], 0.0) / factor[:, row, row, None]
        inside = factor[:, row, row:stop, None] * errors[:, at, None]
        weights[:, row:stop] -= inside
        weights[:, row] = np.where(pruned[:, at], 0.0, weights[:, row])
    if stop < weights.shape[1]:
        weights[:, stop:] -= np.swapaxes(factor[:, start:stop, stop:], 1, 2) @ errors
    return weights
