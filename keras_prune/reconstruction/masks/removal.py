"""The choice of a mask for a layer, in rounds: those weights are removed whose removal raises the error least, the
others take over, and both are computed again.

(Hassibi and Stork 1993, "Optimal brain surgeon"; Frantar and Alistarh 2022, "Optimal brain compression".) A single
sweep over the inputs, as in SparseGPT, takes less time, and leaves two to five times the error at 90%: its choices in
one block know nothing of those in the next.
"""

import numpy as np

from keras_prune.reconstruction.masks.choice import Choose
from keras_prune.reconstruction.masks.given_mask import fit_and_price, fit_kept
from keras_prune.reconstruction.masks.quadratic import Quadratic

ROUNDS = 20
EXACT = 1e11  # floating-point operations of all rounds
_STEPS = 8  # of conjugate gradients between two rounds


def remove(
    problem: Quadratic,
    kept: np.ndarray,
    choose: Choose,
    start: np.ndarray,
    rounds: int = ROUNDS,
    operations: float = EXACT,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose which weights of a layer are kept, and fit them.

    The rises of the error are exact for layers of few inputs. For the wide ones of large models they are those without
    the others taking over, `w² Hᵢᵢ`, of weights that have been fitted in the rounds before.

    Args:
        problem: The error, whose moments are positive definite.
        kept: The mask so far.
        choose: How the rises become masks.
        start: The weights before.
        rounds: Number of rounds, at least 1; with as many as weights are removed, it is one at a time. Defaults to 20.
        operations: Floating-point operations that exact rises may take. Defaults to some seconds of them.

    Returns:
        The mask, and the weights of the least error for it.
    """
    groups, inputs, outputs = kept.shape
    if rounds * groups * outputs * inputs**3 / 4 <= operations:
        inverse = np.linalg.inv(problem.moments)
        for number in range(1, rounds + 1):
            start, rises = fit_and_price(problem, kept, inverse)
            kept = choose(rises, kept, number / rounds)
        return kept, fit_kept(problem, kept, start)
    squares = np.diagonal(problem.moments, axis1=1, axis2=2)[..., None]
    for number in range(1, rounds + 1):
        start = fit_kept(problem, kept, start, operations=0, steps=_STEPS)
        kept = choose(np.square(start) * squares, kept, number / rounds)
    return kept, fit_kept(problem, kept, start)
