"""The names of `tfmot.sparsity.keras` on Keras 3: `import keras_prune.tfmot as sparsity` in its place.

The guide docs/guides/moving-from-tfmot.md says what differs. New code is shorter with `keras_prune` itself.
"""

from keras_prune.tfmot.callbacks import PruningSummaries, UpdatePruningStep
from keras_prune.tfmot.policy import PruneForLatencyOnXNNPack, PruningPolicy
from keras_prune.tfmot.prune import prune_low_magnitude, prune_scope, strip_pruning
from keras_prune.tfmot.schedules import ConstantSparsity, PolynomialDecay, PruningSchedule
from keras_prune.tfmot.wrapper import PrunableLayer, PruneLowMagnitude

__all__ = [
    "ConstantSparsity",
    "PolynomialDecay",
    "PrunableLayer",
    "PruneForLatencyOnXNNPack",
    "PruneLowMagnitude",
    "PruningPolicy",
    "PruningSchedule",
    "PruningSummaries",
    "UpdatePruningStep",
    "prune_low_magnitude",
    "prune_scope",
    "strip_pruning",
]
