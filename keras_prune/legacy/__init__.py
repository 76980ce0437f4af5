"""Loading models that Keras 2 and tfmot wrote to `.h5` files."""

from keras_prune.legacy.load import load_legacy

__all__ = ["load_legacy"]
