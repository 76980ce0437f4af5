"""Keras models before they are converted: inputs, kernels, graph."""
