"""Convolutions whose kernel is a tensor of the graph: a weight, or made of weights, as a standardised one is."""

import math
from collections.abc import Sequence

import numpy as np

from keras_prune.tracing.labels import FIXED, Planes
from keras_prune.tracing.products import entries
from keras_prune.tracing.rule_context import Labels, RuleContext, Unsupported
from keras_prune.tracing.rules.convolution import channel_axis, pixels_of
from keras_prune.tracing.rules.registry import register_operation


@register_operation("nn.Conv", "nn.DepthwiseConv")
def convolution(call: RuleContext) -> np.ndarray | Planes:
    kind, axis = type(call.operation).__name__, channel_axis(call.operation)
    inputs, kernel = call.argument(0, "inputs"), call.argument(1, "kernel")
    pixels = pixels_of(call.output_shapes[0], axis)
    if not isinstance(kernel, Labels) or not isinstance(inputs, Labels) or not kernel.of_weights:
        _count(call, pixels, call.shape_of(kernel) if isinstance(kernel, Labels) else tuple(kernel.shape))
        raise Unsupported("its kernel is no weight of a layer")
    given, along = call.vector(inputs, axis), call.along_axes(kernel)
    read, made = (along.pop(kernel.ndim + place, np.full(kernel.shape[place], FIXED)) for place in (-2, -1))
    for vector in along.values():
        call.freeze(vector, f"{call.kind} moves it over the image")
    size = math.prod(kernel.shape[:-2])
    call.contract(None if pixels is None else pixels * size, read, made)
    call.read()
    if kind == "DepthwiseConv":
        call.freeze(made, f"{call.kind} makes as many of each channel")
        call.unite(given, read)
        call.use(read, "through")
        return call.spread(np.repeat(given, len(made)), axis)
    groups = len(given) // len(read)
    if groups > 1 and len(read) > 1:
        raise Unsupported("its kernel is one of groups")
    if groups > 1:  # each filter reads one channel
        call.unite(np.repeat(given, len(made) // groups), made)
        call.use(made, "through")
    else:
        call.unite(given, read)
        call.use(read, "in")
        call.use(made, "out")
    return call.spread(made, axis)


@register_operation("nn.SeparableConv", "nn.ConvTranspose")
def others(call: RuleContext) -> np.ndarray:
    """Keras (3.15) can run none of transposed convolutions in a graph: it mixes up their arguments."""
    separable, axis = type(call.operation).__name__ == "SeparableConv", channel_axis(call.operation)
    pixels = pixels_of(call.output_shapes[0] if separable else call.input_shapes[0], axis)
    for place, name in enumerate(("depthwise_kernel", "pointwise_kernel") if separable else ("kernel",), 1):
        kernel = call.argument(place, name)
        _count(call, pixels, call.shape_of(kernel) if isinstance(kernel, Labels) else tuple(kernel.shape))
    raise Unsupported("its kernel is no weight of a layer")


def _count(call: RuleContext, pixels: int | None, shape: Sequence[int | None]) -> None:
    size = entries((None, *shape))
    call.contract(None if pixels is None or size is None else pixels * size)
