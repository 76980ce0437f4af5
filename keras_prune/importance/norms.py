"""Norms: filters of large weights matter most (Li et al. 2017, "Pruning filters for efficient convnets")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding


def l1(binding: "Binding") -> np.ndarray | None:
    """Sum of the absolute weights that make a channel."""
    return np.abs(binding.slices()).sum(axis=1) if binding.makes else None


def l2(binding: "Binding") -> np.ndarray | None:
    """Euclidean norm of the weights that make a channel."""
    if not binding.makes:
        return None
    weights = binding.slices()
    return np.sqrt(np.einsum("ij,ij->i", weights, weights))  # no array of the squares
