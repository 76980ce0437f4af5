"""BatchNorm scale: a channel that is scaled to nothing matters nothing (Liu et al. 2017, "Network slimming")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding


def batch_norm_scale(binding: "Binding") -> np.ndarray | None:
    """The absolute scale that BatchNormalization gives a channel."""
    is_scale = "BatchNormalization" in binding.kind and binding.name.endswith("gamma")
    return np.abs(binding.slices())[:, 0] if is_scale else None
