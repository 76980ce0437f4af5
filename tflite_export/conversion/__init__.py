"""Conversion of a Keras model to the bytes of a file."""
