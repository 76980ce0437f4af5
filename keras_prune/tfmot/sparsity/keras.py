"""`tfmot.sparsity.keras`: the names of `keras_prune.tfmot`, where tfmot has them."""

from keras_prune.tfmot.absent import refuse
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

__getattr__ = refuse(__name__, __all__, {})
