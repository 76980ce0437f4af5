"""Movement: weights that training moves away from zero matter, those that it moves towards zero do not (Sanh et al.
2020, "Movement pruning: adaptive sparsity by fine-tuning")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.measure.weights import SingleWeights, WeightStatistics


def movement(unit: "SingleWeights", statistics: "WeightStatistics") -> np.ndarray:
    """-Σ w·∂loss/∂w over the training steps: the paper's score, but for its learning rate, which all weights share."""
    return statistics.movement(unit)
