"""`tfmot.clustering.keras.experimental`: clusters beside zeros that are preserved."""

from keras_prune.tfmot.clusters import cluster_weights_experimental as cluster_weights

__all__ = ["cluster_weights"]
