"""Operations along an axis which each channel goes through alone, if that is not the axis of the channels."""

from collections.abc import Sequence

import numpy as np

from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules.registry import register_operation

Axis = int | Sequence[int] | None


@register_operation(
    *(f"numpy.{name}" for name in ("Cumsum", "Cumprod", "Nancumsum", "Nancumprod", "Sort", "Argsort", "Diff"))
)
def one_axis(call: RuleContext) -> np.ndarray:
    return along(call, call.operation.axis)


@register_operation("math.TopK")
def top_k(call: RuleContext) -> list[np.ndarray]:
    return [along(call, -1, output) for output in range(2)]


def along(call: RuleContext, axis: Axis, output: int = 0) -> np.ndarray:
    """The labels of an output in which each channel is still where it was.

    Raises:
        Unsupported: The channels lie along the axis; None stands for all axes.
    """
    place, channels = call.channels(call.inputs[0])
    if place is None:
        return call.fixed(output)
    if place in axes_of(axis, call.inputs[0].ndim):
        raise Unsupported("what it computes of a channel depends on the others")
    return call.spread(channels, place, output)


def axes_of(axis: Axis, rank: int) -> list[int]:
    """The axes that an argument names, counted from the first; None stands for all."""
    return list(range(rank)) if axis is None else [each % rank for each in ([axis] if isinstance(axis, int) else axis)]
