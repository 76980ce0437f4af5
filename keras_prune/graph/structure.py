"""The graphs of a model, its own and those of the models in it: the one place that walks them.

A node is one use of one operation: it has `operation`, `arguments` (`args`, `kwargs`, `keras_tensors`) and `outputs`.
`Graph` holds the nodes of one model, with who makes and who reads each tensor; `Structure` those of a model and of all
models in it. What is computed along the graph (labels of channels, memory of tensors) is carried by `Graph.flow`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar

import keras

from keras_prune import _keras

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """The graph of one model.

    Args:
        prefix: What the paths of its layers begin with: `""`, or `"encoder/"` in a model of that name.
        nodes: The uses of its operations, in the order of computation.
        inputs: Its input tensors.
        outputs: Its output tensors.
    """

    prefix: str
    nodes: list[Any]
    inputs: list[Any]
    outputs: list[Any]

    @classmethod
    def of(cls, model: keras.Model, prefix: str = "") -> "Graph":
        """The graph of a Sequential or Functional model, without those of the models in it."""
        return cls(prefix, _keras.graph_nodes(model), *_keras.graph_ends(model))

    @cached_property
    def producers(self) -> dict[int, Any]:
        """The node that makes a tensor, by the tensor's identity; the inputs have none."""
        return {id(tensor): node for node in self.nodes for tensor in node.outputs}

    @cached_property
    def consumers(self) -> dict[int, list[Any]]:
        """The nodes that read a tensor, each once, by the tensor's identity."""
        found: dict[int, list[Any]] = {}
        for node in self.nodes:
            for number in dict.fromkeys(map(id, node.arguments.keras_tensors)):
                found.setdefault(number, []).append(node)
        return found

    def before(self, node: Any) -> list[Any]:
        """The nodes that make what a node reads, one for each use of each tensor."""
        made = (self.producers.get(id(tensor)) for tensor in node.arguments.keras_tensors)
        return [producer for producer in made if producer is not None]

    def after(self, node: Any) -> list[Any]:
        """The nodes that read what a node makes."""
        return [reader for tensor in node.outputs for reader in self.consumers.get(id(tensor), ())]

    def path(self, node: Any) -> str:
        """The path of the node's operation."""
        return f"{self.prefix}{node.operation.name}"

    def flow(
        self, given: Iterable[Value], step: Callable[[Any, dict[int, Value]], Sequence[Value]]
    ) -> tuple[list[Value], dict[int, Value]]:
        """Carries a value for each tensor through the graph, node by node.

        Args:
            given: The values of the inputs.
            step: Returns the values of a node's outputs, given the node and those of all tensors so far, by identity.

        Returns:
            The values of the outputs, and those of all tensors by identity.
        """
        values = dict(zip(map(id, self.inputs), given, strict=True))
        for node in self.nodes:
            values.update(zip(map(id, node.outputs), step(node, values), strict=True))
        return [values[id(tensor)] for tensor in self.outputs], values


class Structure:
    """All graphs of a Sequential or Functional model.

    A model inside that is used twice has one graph: what is bypassed in it, is bypassed in both uses. To a
    `TimeDistributed` around a model belongs no graph: it is one layer. Only `graph_of` gives that of its model.

    Args:
        model: A built model, whose graph is known (see `_keras.has_graph`).

    Attributes:
        model: The model.
        graphs: Every graph, that of the model first, those in it after those around them.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self.graphs: list[Graph] = []
        self._of_model: dict[int, Graph] = {}
        self._others: dict[int, Graph] = {}
        self._add(model, "")

    def _add(self, model: keras.Model, prefix: str) -> None:
        graph = Graph.of(model, prefix)
        self.graphs.append(graph)
        self._of_model[id(model)] = graph
        for node in graph.nodes:
            if _keras.is_graph(node.operation) and id(node.operation) not in self._of_model:
                self._add(node.operation, f"{graph.path(node)}/")

    @cached_property
    def of_node(self) -> dict[int, Graph]:
        """The graph that a node belongs to, by its identity."""
        return {id(node): graph for graph in self.graphs for node in graph.nodes}

    @cached_property
    def uses(self) -> dict[int, list[Any]]:
        """The nodes of an operation, in all graphs, by its identity."""
        found: dict[int, list[Any]] = {}
        for graph in self.graphs:
            for node in graph.nodes:
                found.setdefault(id(node.operation), []).append(node)
        return found

    @cached_property
    def nodes(self) -> list[Any]:
        """Every node once, as they are computed; one that uses a model comes before those of that model."""
        return self._list(self.graphs[0], set())

    @cached_property
    def order(self) -> dict[int, int]:
        """Where a node stands in `nodes`, by its identity."""
        return {id(node): index for index, node in enumerate(self.nodes)}

    @cached_property
    def _of_models(self) -> list[tuple[Any, Graph]]:
        """The nodes that use models, with the graphs of these; those around others come first."""
        pairs = [(node, self.inner(node)) for graph in self.graphs for node in graph.nodes]
        return [(node, inner) for node, inner in pairs if inner is not None]

    def _list(self, graph: Graph, seen: set[int]) -> list[Any]:
        seen.add(id(graph))
        found = []
        for node in graph.nodes:
            inner = self.inner(node)
            found += [node] if inner is None or id(inner) in seen else [node, *self._list(inner, seen)]
        return found

    def path(self, node: Any) -> str:
        """The path of the node's operation."""
        return self.of_node[id(node)].path(node)

    def inner(self, node: Any) -> Graph | None:
        """The graph of the model that the node uses, if it uses one."""
        return self._of_model.get(id(node.operation))

    def graph_of(self, model: keras.Model) -> Graph:
        """The graph of the model, or of any in it, those that a `TimeDistributed` runs included."""
        found = self._of_model.get(id(model)) or self._others.get(id(model))
        if found is None:
            found = self._others[id(model)] = Graph.of(model)
        return found

    def walk(self, graph: Graph | None = None, prefix: str = "") -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Every use of every operation that is no model, one after the other as they are computed.

        Yields:
            The path, and the nodes: those of the models that it is in, and its own.
        """
        for node in (graph or self.graphs[0]).nodes:
            path, inner = f"{prefix}{node.operation.name}", self.inner(node)
            if inner is None:
                yield path, (node,)
            else:
                yield from ((each, (node, *nodes)) for each, nodes in self.walk(inner, f"{path}/"))

    def with_inner(self, nodes: Iterable[Any], shared: bool = False) -> list[Any]:
        """These nodes, and all those of the models that only they use; with `shared`, of all models that they use."""
        found = {id(node): node for node in nodes}
        for node, inner in self._of_models:
            if id(node) in found and (shared or all(id(use) in found for use in self.uses[id(node.operation)])):
                found.update((id(each), each) for each in inner.nodes)
        return list(found.values())

    def in_order(self, nodes: Iterable[Any]) -> list[Any]:
        """These nodes as they are computed."""
        return sorted(nodes, key=lambda node: self.order[id(node)])


def data_tensors(node: Any) -> list[Any]:
    """The tensors that a node reads, each use of each, except masks."""
    arguments = node.arguments
    named = [value for key, value in arguments.kwargs.items() if "mask" not in key]
    leaves = keras.tree.flatten((arguments.args, named))
    return [leaf for leaf in leaves if isinstance(leaf, keras.KerasTensor)]


def position(node: Any, tensor: Any) -> int:
    """Where the tensor stands among the flattened arguments of the node's call."""
    leaves = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
    return next(index for index, leaf in enumerate(leaves) if leaf is tensor)


def has_weights(node: Any) -> bool:
    """Whether the node uses a layer, or model, with weights."""
    return bool(getattr(node.operation, "weights", ()))
