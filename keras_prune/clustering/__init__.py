"""Weight clustering (weight sharing): the weights of an array share a few values."""

from keras_prune.clustering.cluster_weights import cluster_weights

__all__ = ["cluster_weights"]
