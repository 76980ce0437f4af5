"""The operations of a Sequential or Functional model, in the order of computation."""

from collections.abc import Iterator
from typing import Any


def graph_of(model: Any) -> Any:
    """The Functional model behind a Sequential or Functional one; None if the model has no graph.

    A subclass of a Functional model has one too, whatever its constructor takes, unless it has a `call` of its own:
    then the graph is not what it computes.
    """
    import keras

    if not isinstance(model, keras.Model) or not type(model).call.__module__.startswith("keras."):
        return None
    if isinstance(model, keras.Sequential):
        model = getattr(model, "_functional", None)  # Keras's `call` of the Sequential calls this one's
    return model if hasattr(model, "_nodes_by_depth") else None


def graph_nodes(model: Any) -> Iterator[Any]:
    """The calls of operations, without inputs; those inside nested models stand in place of the nested model.

    A node has `operation`, `input_tensors` and `outputs`.
    """
    graph = graph_of(model)
    inputs = {id(tensor) for tensor in graph.inputs}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input or all(id(tensor) in inputs for tensor in node.outputs):
                continue
            if graph_of(node.operation) is None:
                yield node
            else:
                yield from graph_nodes(node.operation)
