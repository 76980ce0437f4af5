"""The API of tfmot for Keras 3: `from keras_prune import tfmot` instead of `import tensorflow_model_optimization`.

`tfmot.sparsity.keras`, `tfmot.clustering.keras` and `tfmot.quantization.keras` are where they were; the names of the
first are also those of this module itself. Differences are listed in docs/guides/moving-from-tfmot.md. New code is
shorter with `keras_prune` itself.
"""

from keras_prune.tfmot import clustering, quantization, sparsity
from keras_prune.tfmot.absent import refuse
from keras_prune.tfmot.sparsity.keras import *  # noqa: F403  # what tfmot has there, and here too

__all__ = ["clustering", "quantization", "sparsity"]
__all__ += sparsity.keras.__all__

__getattr__ = refuse(
    __name__,
    __all__,
    {
        "experimental": "Zeros remain in `clustering.keras.experimental.cluster_weights(..., preserve_sparsity=True)`, "
        "and zeros and shared values in an int8 export."
    },
)
