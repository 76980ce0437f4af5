"""The API of tfmot for Keras 3: `from keras_prune import tfmot` instead of `import tensorflow_model_optimization`.

`tfmot.sparsity.keras`, `tfmot.clustering.keras` and `tfmot.quantization.keras` are where they were; the names of the
first are also those of this module itself. Differences are listed in docs/guides/moving-from-tfmot.md. New code is
shorter with `keras_prune` itself.
"""

from keras_prune.tfmot import clustering, quantization, sparsity
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
    "clustering",
    "prune_low_magnitude",
    "prune_scope",
    "quantization",
    "sparsity",
    "strip_pruning",
]

__getattr__ = refuse(
    __name__,
    __all__,
    {
        "experimental": "Zeros remain in `clustering.keras.experimental.cluster_weights(..., preserve_sparsity=True)`, "
        "and zeros and shared values in an int8 export."
    },
)
