"""Weight clustering: weights that share a value."""

from keras_prune.clustering.cluster_weights import cluster_weights

__all__ = ["cluster_weights"]
