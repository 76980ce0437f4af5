"""Criteria that need the weights alone."""

import numpy as np

from keras_prune.importance.protocols import ChannelUnit, Unit

_BLOCK = 1024  # rows of distances at once


def magnitude(weight: np.ndarray) -> np.ndarray:
    """Magnitude: large weights matter most (Han et al. 2015, "Learning both weights and connections").

    Args:
        weight: Float array of any shape.

    Returns:
        `|weight|`, of the same shape and type.

    Example:

    ```python
    magnitude(np.array([-2.0, 0.5]))  # [2.0, 0.5]
    ```
    """
    return np.abs(weight)


def magnitude_of_unit(unit: Unit) -> np.ndarray:
    """`magnitude` of single weights."""
    return magnitude(unit.slices())


def l1(unit: Unit) -> np.ndarray | None:
    """L1 norm of the weights that make a channel (Li et al. 2017, "Pruning filters for efficient convnets")."""
    return np.abs(unit.slices()).sum(axis=1) if unit.makes else None


def l2(unit: Unit) -> np.ndarray | None:
    """L2 norm of the weights that make a channel (Li et al. 2017)."""
    if not unit.makes:
        return None
    weights = unit.slices()
    return np.sqrt(np.einsum("ij,ij->i", weights, weights))  # no array of the squares


def lamp(unit: Unit) -> np.ndarray | None:
    """LAMP: the square of a weight over the sum of its own and all larger ones of the layer; of a filter, the squared
    norm (Lee et al. 2021, "Layer-adaptive sparsity for the magnitude-based pruning").

    In one layer the order is that of the magnitude, or norm. The largest of every layer scores 1, so layers can be
    compared: it is meant for `scope="global"`, of `Percentile` or `prune_channels`.
    """
    if not unit.makes:
        return None
    squares = np.square(unit.slices(), dtype=np.float64).sum(axis=1)
    order = np.argsort(squares, kind="stable")
    remaining = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = np.divide(squares[order], remaining, out=np.zeros_like(remaining), where=remaining > 0)
    return scores


def fpgm(unit: Unit) -> np.ndarray | None:
    """FPGM: sum of the Euclidean distances to all filters of the layer. The lowest is nearest to their geometric
    median, and can be replaced by the others (He et al. 2019, "Filter pruning via geometric median")."""
    if not unit.makes:
        return None
    filters = unit.slices().astype(np.float64)
    squares = np.square(filters).sum(axis=1)
    sums = []
    for start in range(0, len(filters), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = squares[block, None] + squares - 2 * filters[block] @ filters.T
        sums.append(np.sqrt(np.maximum(distances, 0)).sum(axis=1))
    return np.concatenate(sums)


def batch_norm_scale(unit: ChannelUnit) -> np.ndarray | None:
    """The absolute scale that BatchNormalization gives a channel (Liu et al. 2017, "Network slimming")."""
    is_scale = "BatchNormalization" in unit.kind and unit.name.endswith("gamma")
    return np.abs(unit.slices())[:, 0] if is_scale else None
