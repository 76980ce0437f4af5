"""Residual sums: the operations that add a branch to its shortcut."""

from typing import Any

from keras import layers

from keras_prune import _keras

_ANY = {layers.Add, *_keras.operation_classes("numpy.Add")}
_SECOND = {  # of `first - second`, `first + scale * second`
    layers.Subtract,
    *_keras.operation_classes("numpy.Subtract"),
    *_keras.application_classes("inception_resnet_v2.CustomScaleLayer"),
}


def operands(node: Any) -> list[Any]:
    """The tensors that a node adds; none if it adds no two tensors."""
    tensors = list(node.arguments.keras_tensors)
    return tensors if type(node.operation) in _ANY | _SECOND and len(tensors) > 1 else []


def droppable(node: Any) -> range:
    """Which of its operands a sum can do without: it is as if they were zero."""
    count = len(operands(node))
    return range(count) if type(node.operation) in _ANY else range(min(1, count), count)
