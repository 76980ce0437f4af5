"""Fourier transforms: each entry depends on all along the axes that are transformed."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_prune.tracing.labels import has_channels
from keras_prune.tracing.rule_context import Labels, RuleContext, Unsupported
from keras_prune.tracing.rules.registry import register_operation

# By class how many of the last axes it transforms.
_AXES = {"FFT": 1, "FFT2": 2, "IFFT2": 2, "RFFT": 1, "IRFFT": 1}


@register_operation(*(f"math.{name}" for name in _AXES))
def fourier(call: RuleContext) -> Sequence[np.ndarray]:
    """Real and imaginary parts, where there are both, keep the same channels."""
    call.contract(None)
    rank = len(call.output_shapes[0])
    transformed = range(rank - _AXES[type(call.operation).__name__], rank)
    leaves = keras.tree.flatten((call.args, call.kwargs))
    constant = any(not isinstance(leaf, Labels) and np.ndim(leaf) > 0 for leaf in leaves)
    if any(set(call.varying(plane)) & set(transformed) for given in call.inputs for plane in call.planes(given)):
        raise Unsupported("a Fourier transform mixes all channels")
    if constant and any(map(has_channels, call.inputs)):
        raise Unsupported("one of its parts is a constant")
    first, *others = call.inputs
    for other in others:
        call.unite(first, other)
    if not call.varying(first):
        return [call.fixed(output) for output in range(len(call.output_shapes))]
    axis = call.varying(first)[-1]
    return [call.spread(call.vector(first, axis), axis, output) for output in range(len(call.output_shapes))]
