"""The rules of the layers that written-out models have beside Keras's own."""

import keras
import numpy as np

from keras_prune.graph.leaf_layers import AddLoss, RepeatForBatch, Weight
from keras_prune.tracing.labels import Planes, as_planes
from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules.registry import register_rule


@register_rule(Weight)
def weight(call: RuleContext) -> np.ndarray | Planes:
    """Its axes have channels of their own; what these do is seen where it is used."""
    layer = call.operation
    if not keras.backend.is_float_dtype(layer.weight_dtype):  # positions, masks
        return call.fixed()
    labels = call.weight(layer.value)
    call.change("shape", lambda kept: list(kept.shape(*as_planes(labels))))
    return labels


@register_rule(RepeatForBatch)
def repeat_for_batch(call: RuleContext) -> np.ndarray | Planes:
    """The labels of its one row."""
    rows, reference = call.inputs
    if rows.shape[0] != 1:
        raise Unsupported("its tensor has several rows")
    call.planes(reference)
    return call.move(rows, lambda each: np.broadcast_to(each, call.fixed().shape))


@register_rule(AddLoss)
def add_loss(call: RuleContext) -> np.ndarray:
    """The labels of the tensor; the loss is a number like any other output."""
    call.freeze(call.inputs[1], f"{call.kind} adds it to the losses")
    return call.inputs[0]
