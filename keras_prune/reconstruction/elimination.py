"""What an output loses without some of its inputs, once the others have taken over what they can: by least squares.

For the inputs of a weight with normal equations XᵀX, and the best weights W on those that are left, the error rises by
tr(Wᵣᵀ [(XᵀX)⁻¹ᵣᵣ]⁻¹ Wᵣ) when inputs r are taken away (Hassibi and Stork 1993, "Optimal brain surgeon", of blocks).
"""

import numpy as np

RIDGE = 1e-6


def eliminate(gram: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Take away channels one by one, each time the one that is missed least.

    Args:
        gram: XᵀX around the means, of shape (inputs, inputs).
        weights: The weights, of shape (inputs, outputs).
        labels: The channel that each input belongs to; below 0 for inputs that are always kept.

    Returns:
        For each channel the error when it was taken away, after all that were taken away before it: relative to the sum
        of squares of the outputs. So it rises from one to the next.
    """
    gram, weights = np.array(gram, np.float64), np.array(weights, np.float64)
    whole = max(float((weights * (gram @ weights)).sum()), np.finfo(np.float64).tiny)
    inverse = np.linalg.inv(gram + RIDGE * max(np.trace(gram) / len(gram), 1e-30) * np.eye(len(gram)))
    left = [int(each) for each in np.unique(labels[labels >= 0])]
    rows = {channel: np.flatnonzero(labels == channel) for channel in left}
    error, found = 0.0, {}
    while left:
        rises = [_rise(inverse, weights, rows[channel]) for channel in left]
        best = int(np.argmin(rises))
        channel = left.pop(best)
        error += max(rises[best], 0.0)
        found[channel] = error / whole
        mine = rows[channel]
        solved = np.linalg.solve(inverse[np.ix_(mine, mine)], np.concatenate([inverse[mine], weights[mine]], axis=1))
        across = inverse[:, mine].copy()
        weights -= across @ solved[:, len(inverse) :]
        inverse -= across @ solved[:, : len(inverse)]
        inverse[mine], inverse[:, mine], weights[mine] = 0.0, 0.0, 0.0
        inverse[mine, mine] = 1.0  # out of the way
    return found


def _rise(inverse: np.ndarray, weights: np.ndarray, mine: np.ndarray) -> float:
    block = weights[mine]
    return float((block * np.linalg.solve(inverse[np.ix_(mine, mine)], block)).sum())
