"""Graphs of Sequential and Functional models: what is in them, and running them with other operations."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras.src.models import functional
from keras.src.tree import map_shape_structure

from keras_prune._keras.layers import flatten

FUNCTIONAL: type[keras.Model] = functional.Functional
Replace = Callable[[Any], Callable[..., Any]]  # what is called in place of a node's operation


def _graph(model: keras.Model) -> Any:
    """What of Keras holds the nodes of a Sequential or Functional model."""
    return model._functional if isinstance(model, keras.Sequential) else model


def is_graph(model: object) -> bool:
    """Whether `model` is a Sequential or Functional model that can be built again from its layers.

    A subclass with a constructor of its own (keras_hub's backbones, say) cannot: it would lose its class.
    """
    if isinstance(model, keras.Sequential):
        return type(model).__init__ is keras.Sequential.__init__
    return isinstance(model, functional.Functional) and _takes_a_graph(type(model))


def _takes_a_graph(kind: type) -> bool:
    """Whether a Functional class is made from inputs and outputs: what Keras asks itself since 3.15.

    Before, it does not see the arguments of its own constructor, which is wrapped: `def __init__(self, **kwargs)` has
    the same then.
    """
    constructor, of_keras = (inspect.getattr_static(each, "__init__") for each in (kind, FUNCTIONAL))
    if constructor is of_keras:
        return True
    own = inspect.getfullargspec(constructor)
    given = inspect.getfullargspec(inspect.unwrap(of_keras)).args
    return own.args == given or (own.varargs is not None and own.varkw is not None)


def inner_graph(operation: object) -> Any:
    """The model that an operation of a graph runs, if it can be built again: itself, or that of a `TimeDistributed`."""
    if isinstance(operation, keras.layers.TimeDistributed):
        return operation.layer if is_graph(operation.layer) and has_graph(operation.layer) else None
    return operation if is_graph(operation) else None


def has_graph(model: keras.Model) -> bool:
    """Whether the nodes of this model and those in it are known: a Sequential without input shape has none."""
    models = [part for part in flatten(model) if is_graph(part)]
    return all(part._functional is not None for part in models if isinstance(part, keras.Sequential))


def run_graph(model: keras.Model, inputs: Any, replace: Replace) -> Any:
    """Calls the graph of a Sequential or Functional model on new symbolic inputs, with `replace(node)` in place of the
    operation of each node. A model inside is one operation."""
    nodes = iter(graph_nodes(model))  # Keras tells the operation only, in this order
    return _graph(model)._run_through_graph(inputs, operation_fn=lambda _: replace(next(nodes)))


def call_graph(model: keras.Model, inputs: Any, replace: Replace) -> Any:
    """`run_graph` on inputs as users pass them."""
    return run_graph(model, _graph(model)._standardize_inputs(inputs), replace)


def graph_nodes(model: keras.Model) -> list[Any]:
    """The nodes of a Sequential or Functional model in the order of computation, without its inputs.

    A node has `operation`, `arguments` (`args`, `kwargs`) and `outputs`. Only this model's: a layer's own list of nodes
    also has those of other models that use it.
    """
    graph = _graph(model)
    nodes = graph._nodes_by_depth
    inputs = {id(tensor) for tensor in graph.inputs}
    return [
        node
        for depth in sorted(nodes, reverse=True)
        for node in nodes[depth]
        if not node.is_input and not all(id(tensor) in inputs for tensor in node.outputs)
    ]


def graph_ends(model: keras.Model) -> tuple[list[Any], list[Any]]:
    """The input and output tensors that `graph_nodes` begin and end with."""
    graph = _graph(model)
    return list(graph.inputs), list(graph.outputs)


def graph_structures(model: keras.Model) -> tuple[Any, Any]:
    """The input and output tensors of a Sequential or Functional model, in the structures that it takes and returns."""
    graph = _graph(model)
    return graph._inputs_struct, graph._outputs_struct


def input_structure(model: keras.Model) -> Any:
    """The input tensors of a Sequential or Functional model: one, or lists or dicts of them, as its inputs come."""
    return _graph(model)._inputs_struct


def copy_input(tensor: Any, shape: Sequence[int | None] | None = None) -> Any:
    """A new symbolic input like `tensor`, an input of a Functional or Sequential model, or of another shape."""
    layer = tensor._keras_history.operation
    shape = tuple(tensor.shape if shape is None else shape)
    if isinstance(layer, keras.layers.InputLayer):
        return keras.layers.InputLayer.from_config(layer.get_config() | {"batch_shape": shape}).output
    return keras.Input(batch_shape=shape, dtype=tensor.dtype)  # the model starts in the middle of a graph


def copy_operation(operation: Any, changes: Mapping[str, Any] | None = None) -> Any:
    """A new `keras.ops` operation of the same settings except for `changes`: the graph it is in stays as it was."""
    return type(operation).from_config(operation.get_config() | dict(changes or {}))


def made_by(tensor: Any) -> tuple[Any, Any] | None:
    """The operation that made a symbolic tensor, and its node there; None if it is in no graph."""
    history = getattr(tensor, "_keras_history", None)
    if history is None or history.operation is None:
        return None
    return history.operation, history.operation._inbound_nodes[history.node_index]


def has_mask(tensor: Any) -> bool:
    """Whether a symbolic tensor hands on a mask to the layers that read it."""
    return getattr(tensor, "_keras_mask", None) is not None


def symbolic_tensors(shapes: Any, dtype: str) -> Any:
    """Symbolic inputs of these shapes: one shape, or lists and dicts of shapes."""
    return map_shape_structure(lambda shape: keras.KerasTensor(shape, dtype=dtype), shapes)


def shapes_of_call(model: keras.Model) -> Any:
    """The shapes of the inputs that a subclassed model was built on, in their structure, without the batch size.

    None if it is unknown: it was not called, or it takes several arguments.
    """
    held = getattr(model, "_build_shapes_dict", None)
    if not held or len(held) != 1:
        return None
    return map_shape_structure(lambda shape: (None, *shape[1:]), _untracked(next(iter(held.values()))))


def _untracked(shapes: Any) -> Any:
    """The same without the lists and dicts in which Keras tracks what layers hold: inputs come in plain ones."""
    if isinstance(shapes, dict):
        return {key: _untracked(value) for key, value in shapes.items()}
    return [_untracked(each) for each in shapes] if isinstance(shapes, list) else shapes


def arguments_of_call(model: keras.Model) -> list[str]:
    """The arguments that the `call` of a model needs."""
    parameters = inspect.signature(model.call).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [each.name for each in parameters if each.kind in kinds and each.default is inspect.Parameter.empty]
