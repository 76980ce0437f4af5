"""Optimal brain surgeon, for layers of few inputs: weights are removed in rounds, those first whose removal raises the
error least once the others take over, and both are computed again after each round."""

import numpy as np

from keras_prune.reconstruction.choice import Choose
from keras_prune.reconstruction.given_mask import fit_and_price, fit_kept
from keras_prune.reconstruction.quadratic import Quadratic

ROUNDS = 12


def remove_exactly(
    problem: Quadratic, kept: np.ndarray, choose: Choose, rounds: int = ROUNDS
) -> tuple[np.ndarray, np.ndarray]:
    """Choose a mask by the exact rise of the error, and fit what it keeps.

    (Hassibi and Stork 1993; per output as in Frantar and Alistarh 2022, "Optimal brain compression". With as many rounds
    as weights are removed, one goes at a time, as there.)

    Args:
        problem: The error, whose moments are positive definite.
        kept: The mask so far.
        choose: How rises of the error become masks.
        rounds: Number of rounds, at least 1. Defaults to 12.

    Returns:
        The mask, and the weights of the least error for it.
    """
    inverse = np.linalg.inv(problem.moments)
    for number in range(1, rounds + 1):
        _, rises = fit_and_price(problem, kept, inverse)
        kept = choose(rises, kept, number / rounds)
    return kept, fit_kept(problem, kept)
