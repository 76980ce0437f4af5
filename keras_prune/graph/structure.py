"""The graphs of a model: its own, and those of the models in it."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_prune import _keras


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """The graph of one model.

    Args:
        prefix: What the paths of its layers begin with: `""`, or `"encoder/"` in a model of that name.
        nodes: The uses of its operations, in the order of computation.
        inputs: Its input tensors.
        outputs: Its output tensors.
        producers: The node that makes a tensor, by the tensor's identity.
        consumers: The nodes that read it, likewise.
    """

    prefix: str
    nodes: list[Any]
    inputs: list[Any]
    outputs: list[Any]
    producers: dict[int, Any]
    consumers: dict[int, list[Any]]

    def path(self, node: Any) -> str:
        """The path of the node's operation."""
        return f"{self.prefix}{node.operation.name}"


class Structure:
    """All graphs of a Sequential or Functional model.

    A model inside that is used twice has one graph: what is passed by in it, is passed by in both uses.

    Attributes:
        model: The model.
        graphs: Every graph, that of the model first, those in it after those around them.
        of_model: The graph of a model, by its identity.
        of_node: The graph that a node belongs to, by its identity.
        uses: The nodes of an operation, in all graphs, by its identity.
        nodes: Every node once, as they are computed; one that uses a model comes before those of that model.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self.graphs: list[Graph] = []
        self.of_model: dict[int, Graph] = {}
        self.of_node: dict[int, Graph] = {}
        self.uses: dict[int, list[Any]] = {}
        self._add(model, "")
        self.nodes = self._list(self.graphs[0], set())
        self._order = {id(node): index for index, node in enumerate(self.nodes)}

    def _add(self, model: keras.Model, prefix: str) -> None:
        nodes = _keras.graph_nodes(model)
        inputs, outputs = _keras.graph_ends(model)
        producers = {id(tensor): node for node in nodes for tensor in node.outputs}
        consumers: dict[int, list[Any]] = {}
        graph = Graph(prefix, nodes, inputs, outputs, producers, consumers)
        self.graphs.append(graph)
        self.of_model[id(model)] = graph
        for node in nodes:
            self.of_node[id(node)] = graph
            self.uses.setdefault(id(node.operation), []).append(node)
            for tensor in {id(tensor): tensor for tensor in node.arguments.keras_tensors}.values():
                consumers.setdefault(id(tensor), []).append(node)
        for node in nodes:
            if _keras.is_graph(node.operation) and id(node.operation) not in self.of_model:
                self._add(node.operation, f"{graph.path(node)}/")

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
        return self.of_model.get(id(node.operation))

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
        for graph in self.graphs:  # those around come first
            for node in [node for node in graph.nodes if id(node) in found]:
                inner = self.inner(node)
                if inner is not None and (shared or all(id(use) in found for use in self.uses[id(node.operation)])):
                    found.update((id(each), each) for each in inner.nodes)
        return list(found.values())

    def in_order(self, nodes: Iterable[Any]) -> list[Any]:
        """These nodes as they are computed."""
        return sorted(nodes, key=lambda node: self._order[id(node)])


def data_tensors(node: Any) -> list[Any]:
    """The tensors that a node reads, each use of each, but for masks."""
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
