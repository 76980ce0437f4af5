"""`tfmot.sparsity`, which holds `keras`."""

from keras_prune.tfmot.sparsity import keras

__all__ = ["keras"]
