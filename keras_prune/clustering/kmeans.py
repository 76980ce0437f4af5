"""k-means of numbers on a line, exactly and fast: sorted once, a cluster is a range, and its mean two prefix sums.

An iteration takes O(clusters * log(size)), so many iterations cost little. Deterministic.
"""

import dataclasses

import numpy as np

from keras_prune.masking.clusters import index_type

START = ("linear", "density")
_CHUNK = 1 << 20  # entries at a time, where NumPy needs 8 bytes for each


@dataclasses.dataclass(frozen=True)
class Codebook:
    """Result of `kmeans`.

    Args:
        values: The shared values, ascending, each used: at most `clusters` of them.
        assignment: The index into `values` of each number, in the numbers' shape: uint8, or int32 above 256 clusters.
    """

    values: np.ndarray
    assignment: np.ndarray


def kmeans(values: np.ndarray, clusters: int, start: str = "linear", iterations: int = 1000) -> Codebook:
    """Put numbers into clusters such that each is nearest to the mean of its own cluster (Lloyd 1982).

    It begins with centres evenly spaced from the lowest to the highest number, which Han et al. (2016, Deep
    Compression) found best, since few large weights matter much; or, with `start="density"`, with evenly spaced
    quantiles. A number halfway between two centres is assigned to the lower one. A centre without numbers, such as
    those that begin in the gap that pruning leaves around zero, moves to an end of the cluster of the largest count *
    (highest - lowest)². So the squared error never rises.

    Args:
        values: Array of float32 or float64, finite.
        clusters: Largest number of clusters. If there are no more different numbers, each is its own cluster.
        start: `"linear"` or `"density"`. Defaults to `"linear"`.
        iterations: Largest number of iterations; it ends earlier when nothing changes. Defaults to 1000.

    Returns:
        A `Codebook`.
    """
    line = np.sort(values, axis=None)
    if not line.size:
        return Codebook(line, np.zeros(values.shape, index_type(clusters)))
    first = np.concatenate([[True], line[1:] != line[:-1]])
    few = np.count_nonzero(first) <= clusters
    centres = line[first] + 0.0 if few else _lloyd(line, clusters, start, iterations)  # plus 0: no minus zero
    return _assign(values, centres, clusters)


def _lloyd(line: np.ndarray, clusters: int, start: str, iterations: int) -> np.ndarray:
    if start == "linear":
        centres = np.linspace(line[0], line[-1], clusters, dtype=np.float64)
    else:
        centres = line[(line.size * (2 * np.arange(clusters) + 1)) // (2 * clusters)].astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(line, dtype=np.float64)])
    ends: np.ndarray | None = None
    for _ in range(iterations):
        previous, ends = ends, np.searchsorted(line, _limits(centres, line.dtype), side="right")
        if previous is not None and np.array_equal(previous, ends):
            break
        edges = np.unique(np.concatenate([[0], ends, [line.size]]))  # of the clusters that have numbers
        means = np.diff(sums[edges]) / np.diff(edges)
        centres = np.sort(np.concatenate([means, _splits(line, edges, means, clusters - means.size)]))
    return centres.astype(line.dtype)


def _splits(line: np.ndarray, edges: np.ndarray, means: np.ndarray, count: int) -> np.ndarray:
    """Places for `count` more centres: in each of the widest clusters the end that is farther from the mean."""
    low, high = line[edges[:-1]].astype(np.float64), line[edges[1:] - 1].astype(np.float64)
    spread = np.diff(edges) * (high - low) ** 2
    widest = [place for place in np.argsort(-spread, kind="stable")[:count] if spread[place] > 0]
    return np.where(high - means > means - low, high, low)[widest]


def _limits(centres: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The highest number of each cluster but the last. In the numbers' own type, else NumPy would copy them all."""
    middles = centres[:-1] + (centres[1:].astype(np.float64) - centres[:-1]) / 2
    limits = middles.astype(dtype)
    return np.where(limits > middles, np.nextafter(limits, dtype.type(-np.inf)), limits)


def _assign(values: np.ndarray, centres: np.ndarray, clusters: int) -> Codebook:
    centres = np.unique(centres)  # rounded to the numbers' type, two may be one
    flat = values.reshape(-1)
    limits = _limits(centres, values.dtype)
    assignment = np.empty(flat.size, np.int32)
    for at in range(0, flat.size, _CHUNK):
        assignment[at : at + _CHUNK] = np.searchsorted(limits, flat[at : at + _CHUNK], side="left")
    used = np.bincount(assignment, minlength=centres.size) > 0
    assignment = (np.cumsum(used) - 1).astype(index_type(clusters))[assignment]
    return Codebook(centres[used], assignment.reshape(values.shape))
