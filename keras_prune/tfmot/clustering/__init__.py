"""`tfmot.clustering`, which holds `keras`."""

from keras_prune.tfmot.clustering import keras

__all__ = ["keras"]
