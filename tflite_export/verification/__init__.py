"""Checks that a file has the outputs of its Keras model."""
