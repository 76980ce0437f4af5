"""Sizes that Keras leaves open though the input tells them: those of `EinsumDense`."""

from typing import Any

import keras


def fill_sizes(layer: keras.Layer, args: tuple[Any, ...]) -> None:
    """Writes the sizes that this input tells into the output shape of an `EinsumDense`; other layers stay as they are.

    The layer belongs to a graph of fixed sizes from then on.
    """
    if type(layer) is not keras.layers.EinsumDense or not args or not isinstance(args[0], keras.KerasTensor):
        return
    read, written, shape = _letters(layer)
    given = tuple(args[0].shape)
    if "." in read + written or len(read) != len(given) or len(written) != len(shape) + 1:
        return
    sizes = dict(zip(read, given, strict=True))
    layer.partial_output_shape = tuple(
        sizes.get(letter) if size is None else size for letter, size in zip(written[1:], shape, strict=True)
    )


def _letters(layer: keras.layers.EinsumDense) -> tuple[str, str, tuple[int | None, ...]]:
    read, rest = layer.equation.replace(" ", "").split(",")
    shape = layer.partial_output_shape
    return read, rest.split("->")[1], tuple(shape) if isinstance(shape, list | tuple) else (shape,)
