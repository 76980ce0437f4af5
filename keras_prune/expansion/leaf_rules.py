"""The rules of the layers that written-out models have beside Keras's own."""

import keras
import numpy as np

from keras_prune.graph.leaf_layers import AddLoss, RepeatForBatch, Weight
from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules.registry import register_rule


@register_rule(Weight)
def weight(call: RuleContext) -> np.ndarray:
    """Its entries along the last axis of more than one are channels."""
    layer = call.operation
    shape = layer.shape
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    if not axes or not keras.backend.is_float_dtype(layer.weight_dtype):  # positions, masks
        return call.fixed()
    axis = axes[-1]
    made = call.mint("channels", shape[axis])
    call.bind(layer.value, axis, made, "through")
    call.change("shape", lambda kept: [*shape[:axis], kept.count(made), *shape[axis + 1 :]])
    return call.spread(made, axis)


@register_rule(RepeatForBatch)
def repeat_for_batch(call: RuleContext) -> np.ndarray:
    """The labels of its one row."""
    rows = call.inputs[0]
    if rows.shape[0] != 1:
        raise Unsupported("its tensor has several rows")
    return np.broadcast_to(rows, call.fixed().shape)


@register_rule(AddLoss)
def add_loss(call: RuleContext) -> np.ndarray:
    """The labels of the tensor; the loss is a number like any other output."""
    call.freeze(call.inputs[1], f"{call.kind} adds it to the losses")
    return call.inputs[0]
