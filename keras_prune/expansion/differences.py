"""Where two traces of a model part, and which custom layer is the reason."""

import keras

from keras_prune.expansion.traced import Call, Traced
from keras_prune.graph.leaf_layers import AddLoss


def same_graph(first: Traced, second: Traced) -> bool:
    """Whether two traces have the same operations in the same order."""
    return _kinds(first.nodes) == _kinds(second.nodes)


def first_to_differ(first: Traced, second: Traced) -> keras.Layer | None:
    """The innermost custom layer whose own code made other operations; None: the difference is in none of them."""
    for one, other in zip(first.calls, second.calls, strict=False):
        if one.layer is not other.layer or _own(one) != _own(other):
            return one.layer
    longer = max(first.calls, second.calls, key=len)
    common = min(len(first.calls), len(second.calls))
    return longer[common].layer if len(longer) > common else None


def rank_of_calls(traced: Traced, layer: keras.Layer) -> int:
    """The number of axes of the tensor that a layer is called with."""
    return next(call.rank for call in traced.calls if call.layer is layer)


def has_losses(traced: Traced) -> bool:
    """Whether some layer adds a loss."""
    return any(isinstance(node.operation, AddLoss) for node in traced.nodes)


def _own(call: Call) -> list[str]:
    return sorted(_kinds(call.operations))


def _kinds(nodes: list) -> list[str]:
    return [type(node.operation).__name__ for node in nodes]
