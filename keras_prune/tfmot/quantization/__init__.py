"""`tfmot.quantization`, which holds `keras`."""

from keras_prune.tfmot.quantization import keras

__all__ = ["keras"]
