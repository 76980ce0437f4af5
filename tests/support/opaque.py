"""Layers that cannot be written out: their code takes no symbolic tensors, as functions of a backend do not."""

import keras


def opaque(tensor):
    """The tensor, unless it is symbolic: then it raises as functions of a backend do."""
    if isinstance(tensor, keras.KerasTensor):
        raise TypeError("a function of the backend takes no symbolic tensors")
    return tensor
