"""Sums, means and the like over some axes.

Over other axes than that of the channels each channel is reduced alone. A sum over the channels reads them: without
one, it is missing in the sum, no more. A mean or a maximum over fewer channels is another, and marked inexact. An
operation that tells which channel it was, or that means nothing without one of them, keeps them.
"""

import numpy as np

from keras_prune.tracing.labels import Planes
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
def total(call: RuleContext) -> np.ndarray | Planes:
    if _over_channels(call, call.operation.axis):
        call.read()
    return _reduced(call, call.operation.axis)


@register_operation(*(f"numpy.{name}" for name in _STATISTICS.split()))
def statistic(call: RuleContext) -> np.ndarray | Planes:
    if len(call.args) + len(call.kwargs) > 1:  # weights of an average, or which quantile
        other = call.args[1] if len(call.args) > 1 else next(iter(call.kwargs.values()))
        if np.ndim(other) > 0 or len(call.inputs) > 1:
            raise Unsupported("it takes several weights or quantiles")
    if _over_channels(call, call.operation.axis):
        _mark(call, call.operation.axis)
    return _reduced(call, call.operation.axis)


@register_operation("linalg.Norm")
def norm(call: RuleContext) -> np.ndarray | Planes:
    if _over_channels(call, call.operation.axis):
        if len(axes_of(call.operation.axis, call.inputs[0].ndim)) > 1 or call.operation.ord not in (None, 1, 2, np.inf):
            raise Unsupported("it takes another norm than that of a vector over the channels")
        call.read()
    return _reduced(call, call.operation.axis)


@register_operation("nn.Moments")
def moments(call: RuleContext) -> list[np.ndarray | Planes]:
    if _over_channels(call, call.operation.axes):
        _mark(call, call.operation.axes)
    return [_reduced(call, call.operation.axes, output) for output in range(2)]


@register_operation(*(f"numpy.{name}" for name in _OTHERS.split()), "math.Logsumexp")
def others(call: RuleContext) -> np.ndarray | Planes:
    if _over_channels(call, call.operation.axis):
        raise Unsupported("what it computes of a channel depends on the others")
    return _reduced(call, call.operation.axis)


def _mark(call: RuleContext, axis: Axis) -> None:
    name, axes = type(call.operation).__name__.lower(), axes_of(axis, call.inputs[0].ndim)
    for place, channels in call.along_axes(call.inputs[0]).items():
        if place in axes:
            call.mark_inexact(channels, f"its {name} is taken over the channels")


def _over_channels(call: RuleContext, axis: Axis) -> bool:
    """Whether channels, which lie along one axis of each plane in the end, are among what is reduced."""
    return not call.along_axes(call.inputs[0]).keys().isdisjoint(axes_of(axis, call.inputs[0].ndim))


def _reduced(call: RuleContext, axis: Axis, output: int = 0) -> np.ndarray | Planes:
    rank = call.inputs[0].ndim
    axes = set(axes_of(axis, rank))
    left = {place: channels for place, channels in call.along_axes(call.inputs[0]).items() if place not in axes}
    if len(call.output_shapes[output]) < rank:
        left = {place - sum(each < place for each in axes): channels for place, channels in left.items()}
    return call.lay(left, output)
