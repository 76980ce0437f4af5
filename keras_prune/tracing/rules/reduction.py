"""Sums, means and the like over some axes.

Over other axes than that of the channels each channel is reduced alone. A sum over the channels reads them: without
one, it is missing in the sum, no more. A mean or a maximum over fewer channels is another, and marked inexact. An
operation that tells which channel it was, or that means nothing without one of them, keeps them.
"""

import numpy as np

from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules.axes import Axis, axes_of
from keras_prune.tracing.rules.registry import register_operation

# A channel of zeros changes nothing.
_SUMS = ("Sum", "Nansum", "Any", "CountNonzero")
_STATISTICS = (
    "Mean Average Max Min Amax Amin Std Var Median Quantile Percentile Ptp Nanmean Nanmax Nanmin Nanstd Nanvar "
    "Nanmedian Nanquantile Nanpercentile"
)
_OTHERS = "Prod Nanprod All Argmax Argmin Nanargmax Nanargmin Trapezoid"


@register_operation(*(f"numpy.{name}" for name in _SUMS))
def total(call: RuleContext) -> np.ndarray:
    if _over_channels(call, call.operation.axis):
        call.read()
    return _reduced(call, call.operation.axis)


@register_operation(*(f"numpy.{name}" for name in _STATISTICS.split()))
def statistic(call: RuleContext) -> np.ndarray:
    if len(call.args) + len(call.kwargs) > 1:  # weights of an average, or which quantile
        other = call.args[1] if len(call.args) > 1 else next(iter(call.kwargs.values()))
        if np.ndim(other) > 0 or len(call.inputs) > 1:
            raise Unsupported("it takes several weights or quantiles")
    if _over_channels(call, call.operation.axis):
        _mark(call)
    return _reduced(call, call.operation.axis)


@register_operation("linalg.Norm")
def norm(call: RuleContext) -> np.ndarray:
    if _over_channels(call, call.operation.axis):
        if len(axes_of(call.operation.axis, call.inputs[0].ndim)) > 1 or call.operation.ord not in (None, 1, 2, np.inf):
            raise Unsupported("it takes another norm than that of a vector over the channels")
        call.read()
    return _reduced(call, call.operation.axis)


@register_operation("nn.Moments")
def moments(call: RuleContext) -> list[np.ndarray]:
    if _over_channels(call, call.operation.axes):
        _mark(call)
    return [_reduced(call, call.operation.axes, output) for output in range(2)]


@register_operation(*(f"numpy.{name}" for name in _OTHERS.split()), "math.Logsumexp")
def others(call: RuleContext) -> np.ndarray:
    if _over_channels(call, call.operation.axis):
        raise Unsupported("what it computes of a channel depends on the others")
    return _reduced(call, call.operation.axis)


def _mark(call: RuleContext) -> None:
    name = type(call.operation).__name__.lower()
    call.mark_inexact(call.inputs[0], f"its {name} is taken over the channels")


def _over_channels(call: RuleContext, axis: Axis) -> bool:
    """Whether the channels, which lie along one axis in the end, are among what is reduced."""
    return call.channels(call.inputs[0])[0] in axes_of(axis, call.inputs[0].ndim)


def _reduced(call: RuleContext, axis: Axis, output: int = 0) -> np.ndarray:
    rank = call.inputs[0].ndim
    place, channels = call.channels(call.inputs[0])
    axes = axes_of(axis, rank)
    if place is None or place in axes:
        return call.fixed(output)
    if len(call.output_shapes[output]) < rank:
        place -= sum(each < place for each in set(axes))
    return call.spread(channels, place, output)
