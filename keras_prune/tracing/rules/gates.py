"""Custom layers without weights that join several tensors of one shape at each place alone: gates."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_prune.tracing.rule_context import Labels, RuleContext, Unsupported
from keras_prune.tracing.rules.entrywise import joins_entries


def join(call: RuleContext, function: Callable[..., Any], reason: str) -> np.ndarray:
    """Return the labels of what a function makes of several tensors, whose channels belong together.

    Args:
        call: The use of the layer.
        function: What it computes of its arguments.
        reason: Why its channels are kept, if it does anything else.
    """
    shapes = [*call.input_shapes, *call.output_shapes]
    if len(call.output_shapes) != 1 or any(shape != shapes[0] for shape in shapes) or not shapes[0]:
        raise Unsupported(reason)
    if any(set(call.varying(each)) - {each.ndim - 1} for each in call.inputs):
        raise Unsupported(reason)

    def of_tensors(*tensors: Any) -> Any:
        left = iter(tensors)
        args, kwargs = keras.tree.map_structure(
            lambda leaf: next(left) if isinstance(leaf, Labels) else leaf, (call.args, dict(call.kwargs))
        )
        return function(*args, **kwargs)

    if not joins_entries(of_tensors, shapes[0], call.operation.compute_dtype, len(call.inputs)):
        raise Unsupported(reason)
    for other in call.inputs[1:]:
        call.unite(call.inputs[0], other)
    return call.inputs[0]
