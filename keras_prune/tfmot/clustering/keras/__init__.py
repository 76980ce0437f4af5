"""`tfmot.clustering.keras` for Keras 3. New code is shorter with `keras_prune.cluster_weights`."""

from keras_prune.tfmot.absent import refuse
from keras_prune.tfmot.clustering.keras import experimental
from keras_prune.tfmot.clusters import CentroidInitialization, ClusterableLayer, cluster_weights
from keras_prune.tfmot.prune import prune_scope as cluster_scope
from keras_prune.tfmot.prune import strip_pruning as strip_clustering

__all__ = [
    "CentroidInitialization",
    "ClusterableLayer",
    "cluster_scope",
    "cluster_weights",
    "experimental",
    "strip_clustering",
]

__getattr__ = refuse(
    __name__,
    __all__,
    {
        "ClusteringSummaries": "`keras_prune.summary(model)` counts the shared values of each weight.",
        "ClusteringAlgorithm": "Assignments are those of k-means; a layer says which weights are clustered.",
        "clusterable_layer": "`ClusterableLayer` is in this module itself.",
    },
)
