"""What outputs lose without some of their inputs, once the others have taken over what they can: by least squares.

For the inputs of a weight with normal equations XᵀX, and the best weights W on those that are left, the error rises by
tr(Wᵣᵀ [(XᵀX)⁻¹ᵣᵣ]⁻¹ Wᵣ) when inputs r are taken away (Hassibi and Stork 1993, "Optimal brain surgeon", of blocks).
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

RIDGE = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Reader:
    """A weight that reads channels.

    Args:
        gram: XᵀX around the means, of shape (inputs, inputs).
        weights: The weights, of shape (inputs, outputs).
        labels: The channel that each input belongs to; below 0 for inputs that are always kept.
        share: How much it counts, beside the others. Defaults to 1.0.
    """

    gram: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    share: float = 1.0


def eliminate(readers: Sequence[Reader]) -> dict[int, float]:
    """Take away channels one by one, each time the one that all weights that read it miss least.

    Args:
        readers: The weights. What each has lost is relative to the sum of squares of its outputs.

    Returns:
        For each channel the error when it was taken away, after all that were taken away before it: the mean over the
        weights, each by its share. So it rises from one to the next.
    """
    states, shares = [_State(each) for each in readers], sum(each.share for each in readers)
    left = {channel for state in states for channel in state.rows}
    error, found = 0.0, {}
    while left:
        rises = collections.Counter(dict.fromkeys(sorted(left), 0.0))
        for state in states:
            rises.update(state.rises())
        best = min(rises, key=lambda channel: rises[channel])
        left.remove(best)
        error += max(rises[best], 0.0) / shares
        found[best] = error
        for state in states:
            state.remove(best)
    return found


class _State:
    """What is left of the inputs of a weight, and the best weights on them."""

    def __init__(self, reader: Reader):
        gram, weights = np.array(reader.gram, np.float64), np.array(reader.weights, np.float64)
        self._whole = max(float((weights * (gram @ weights)).sum()), np.finfo(np.float64).tiny) / reader.share
        ridge = RIDGE * max(np.trace(gram) / len(gram), 1e-30)
        self._inverse, self._weights = np.linalg.inv(gram + ridge * np.eye(len(gram))), weights
        channels = np.unique(reader.labels[reader.labels >= 0])
        self.rows = {int(each): np.flatnonzero(reader.labels == each) for each in channels}

    def rises(self) -> dict[int, float]:
        """How much more is lost without each channel."""
        found: dict[int, float] = {}
        sizes: dict[int, list[int]] = {}
        for channel, rows in self.rows.items():
            sizes.setdefault(len(rows), []).append(channel)
        for channels in sizes.values():
            rows = np.stack([self.rows[each] for each in channels])
            blocks = self._weights[rows]
            solved = np.linalg.solve(self._inverse[rows[:, :, None], rows[:, None, :]], blocks)
            found |= dict(zip(channels, ((blocks * solved).sum(axis=(1, 2)) / self._whole).tolist(), strict=True))
        return found

    def remove(self, channel: int) -> None:
        """Takes a channel away, if it is read."""
        mine = self.rows.pop(channel, None)
        if mine is None:
            return
        inverse, weights = self._inverse, self._weights
        solved = np.linalg.solve(inverse[np.ix_(mine, mine)], np.concatenate([inverse[mine], weights[mine]], axis=1))
        across = inverse[:, mine].copy()
        weights -= across @ solved[:, len(inverse) :]
        inverse -= across @ solved[:, : len(inverse)]
        inverse[mine], inverse[:, mine], weights[mine] = 0.0, 0.0, 0.0
        inverse[mine, mine] = 1.0  # out of the way
