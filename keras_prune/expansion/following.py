"""Operations whose settings follow the batch, made again for a batch of any size."""

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_prune import _keras
from keras_prune.expansion.any_batch import Batches, Follows, shape_of_any
from keras_prune.graph.leaf_layers import RepeatForBatch


@dataclasses.dataclass(frozen=True)
class Following:
    """One use of such an operation.

    Args:
        node: It, for the first batch size.
        other: It, for the second.
        batches: The batch sizes.
        tensor: Its first argument in the new graph.
        reference: A tensor of the new graph with one row for each sample.
        name: The name of the new operation.
    """

    node: Any
    other: Any
    batches: Batches
    tensor: Any
    reference: Any
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that comes out for the first batch size."""
        return tuple(self.node.outputs[0].shape)

    def settings(self, key: str) -> tuple[Any, Any]:
        """A setting for the two batch sizes."""
        return self.node.operation.get_config()[key], self.other.operation.get_config()[key]


def _reshape(use: Following) -> Any:
    shape = shape_of_any(*use.settings("newshape"), use.shape, use.batches)
    operation = _keras.copy_operation(use.node.operation, {"newshape": shape})
    operation.name = use.name
    return operation(use.tensor)


def _spread(use: Following) -> Any:
    """Repeats one row for each sample, and broadcasts other axes."""
    tensor, rest = use.tensor, use.shape[1:]
    if use.shape[0] != use.batches.first:
        raise Follows("it repeats along another axis than the first")
    while len(tensor.shape) < len(use.shape):
        tensor = ops.expand_dims(tensor, 0)
    of_batch = tensor.shape[0] != 1
    if tuple(tensor.shape[1:]) != rest:
        if of_batch or type(use.node.operation).__name__ != "BroadcastTo":
            tensor = ops.tile(tensor, [1, *(size // now for size, now in zip(rest, tensor.shape[1:], strict=True))])
        else:
            tensor = ops.broadcast_to(tensor, (1, *rest))
    return tensor if of_batch else RepeatForBatch(name=use.name)(tensor, use.reference)


def _slice(use: Following) -> Any:
    """What takes all samples takes all of any number."""
    starts = (
        use.node.arguments.args[1] if len(use.node.arguments.args) > 1 else use.node.arguments.kwargs["start_indices"]
    )
    given = use.node.arguments.keras_tensors[0].shape
    key = []
    for start, one, other, size in zip(starts, *use.settings("shape"), given, strict=True):
        if not use.batches.follows(one, other):
            key.append(slice(int(start), int(start) + int(one)))
        elif int(start) or one != size:
            raise Follows("it takes a part of the samples")
        else:
            key.append(slice(None))
    return use.tensor[tuple(key)]


WAYS: dict[str, Callable[[Following], Any]] = {
    "Reshape": _reshape,
    "BroadcastTo": _spread,
    "Repeat": _spread,
    "Tile": _spread,
    "Slice": _slice,
}


def check_shapes(outputs: list[Any], node: Any, other: Any) -> None:
    """Raises unless outputs have the shapes that the two traces tell, except where those follow the batch."""
    for made, one, two in zip(outputs, node.outputs, other.outputs, strict=True):
        known = [first if first == second else None for first, second in zip(one.shape, two.shape, strict=True)]
        if len(known) != len(made.shape) or any(
            size is not None and now is not None and size != now for size, now in zip(known, made.shape, strict=True)
        ):
            raise Follows(f"its output is of shape {tuple(made.shape)} instead of {tuple(known)}")
