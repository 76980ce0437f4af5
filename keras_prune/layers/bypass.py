"""What is left of a model when some uses of its layers are bypassed."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_prune.graph.structure import Graph, Structure, data_tensors, has_weights, position
from keras_prune.layers.residual_sums import operands
from tflite_export.reporting import Shown


@dataclasses.dataclass(frozen=True, eq=False)
class Cut(Shown):
    """One change of the graph: a node that is bypassed, or one operand that a sum no longer adds.

    Args:
        node: The use of an operation.
        operand: Of a sum, which of its operands is removed; a sum of one operand is bypassed. Defaults to None: the
            node itself is bypassed.
    """

    node: Any
    operand: int | None = None


class Left:
    """The rest of a model after some cuts. Nothing is changed: this only says what would be.

    A model inside whose output has become its input is bypassed, too.

    Args:
        structure: The graphs of the model.
        cuts: The changes. Defaults to none.
    """

    def __init__(self, structure: Structure, cuts: Iterable[Cut] = ()):
        self._structure = structure
        self._dropped: dict[int, set[int | None]] = {}
        for cut in cuts:
            self._dropped.setdefault(id(cut.node), set()).add(cut.operand)
        self._passed: dict[int, Any] = {}
        for graph in reversed(structure.graphs):  # those inside first
            for node in graph.nodes:
                kept = self._kept(node)
                if kept is not None and len(kept) == 1:
                    self._passed[id(node)] = kept[0]
        self._reached: dict[int, set[int]] = {}
        self._live: set[int] = set()
        self._follow(structure.graphs[0])

    def is_live(self, node: Any) -> bool:
        """Whether the node is still computed."""
        return id(node) in self._live

    def layers(self) -> list[keras.Layer]:
        """The layers that are left, each once: those in models inside, but not these models."""
        live = [node for node in self._structure.nodes if self.is_live(node) and self._structure.inner(node) is None]
        layers = [node.operation for node in live if isinstance(node.operation, keras.Layer)]
        return list({id(layer): layer for layer in layers}.values())

    def weights(self) -> list[keras.Variable]:
        """The weights that are left, each once."""
        weights = [weight for layer in self.layers() for weight in layer.weights]
        return list({id(weight): weight for weight in weights}.values())

    def call(self, node: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """What to call in place of the node's operation.

        Args:
            node: A node of one of the graphs.
            make: Returns what is called for an operation that is kept.

        Returns:
            A function of the arguments that the operation takes. For nodes that are no longer computed it returns None
            for each output.
        """
        if id(node) in self._passed:
            place = position(node, self._passed[id(node)])
            return lambda *args, **kwargs: keras.tree.flatten((args, kwargs))[place]
        if not self.is_live(node):
            return lambda *args, **kwargs: [None] * len(node.outputs)
        kept = self._kept(node)
        operation = make()
        if kept is None:
            return operation
        places = [position(node, tensor) for tensor in kept]  # `Add` of three tensors or more

        def add(*args: Any, **kwargs: Any) -> Any:
            values = keras.tree.flatten((args, kwargs))
            return operation([values[place] for place in places])

        return add

    def problem(self) -> str:
        """Why this cannot be carried out; empty if it can."""
        whole = Left(self._structure)
        for graph in self._structure.graphs:
            if id(graph) not in self._reached:
                continue
            for tensor in graph.inputs:
                if id(tensor) in whole._reached[id(graph)] and id(tensor) not in self._reached[id(graph)]:
                    return f"input '{tensor.name}' would no longer reach an output"
        top = self._structure.graphs[0]
        for index, tensor in enumerate(top.outputs):
            if whole._is_learnt(top, tensor) and not self._is_learnt(top, tensor):
                name = top.path(top.producers[id(tensor)])
                return f"no layer with weights would be left before output {index}, '{name}'"
        return ""

    def _kept(self, node: Any) -> list[Any] | None:
        """The tensors that a changed node still reads; None if it is not changed."""
        dropped = self._dropped.get(id(node))
        if dropped is not None:
            return data_tensors(node)[:1] if None in dropped else _without(operands(node), dropped)
        inner = self._structure.inner(node)
        if inner is None or not inner.nodes or (len(inner.inputs), len(inner.outputs)) != (1, 1):
            return None
        nothing_left = self._resolve(inner, inner.outputs[0]) is inner.inputs[0]
        return data_tensors(node)[:1] if nothing_left else None

    def _resolve(self, graph: Graph, tensor: Any) -> Any:
        """The tensor that takes the place of this one."""
        while True:
            node = graph.producers.get(id(tensor))
            if node is None or id(node) not in self._passed:
                return tensor
            tensor = self._passed[id(node)]

    def _reads(self, node: Any) -> list[Any]:
        kept = self._kept(node)
        return list(node.arguments.keras_tensors) if kept is None else kept

    def _follow(self, graph: Graph) -> None:
        """Finds what the graph's outputs are computed from, models inside included."""
        reached = self._reached[id(graph)] = set()
        for node in self._before(graph, graph.outputs, reached):
            self._live.add(id(node))
            inner = self._structure.inner(node)
            if inner is not None and id(inner) not in self._reached:
                self._follow(inner)

    def _before(self, graph: Graph, tensors: list[Any], reached: set[int]) -> list[Any]:
        """The nodes that these tensors are computed from; the tensors on the way are added to `reached`."""
        found: dict[int, Any] = {}
        todo = [self._resolve(graph, tensor) for tensor in tensors]
        while todo:
            tensor = todo.pop()
            reached.add(id(tensor))
            node = graph.producers.get(id(tensor))
            if node is not None and id(node) not in found:
                found[id(node)] = node
                todo += [self._resolve(graph, each) for each in self._reads(node)]
        return list(found.values())

    def _is_learnt(self, graph: Graph, tensor: Any) -> bool:
        """Whether a layer with weights has a part in this tensor."""
        for node in self._before(graph, [tensor], set()):
            inner = self._structure.inner(node)
            if has_weights(node) and (inner is None or any(self._is_learnt(inner, each) for each in inner.outputs)):
                return True
        return False


def _without(tensors: list[Any], dropped: set[int | None]) -> list[Any]:
    return [tensor for index, tensor in enumerate(tensors) if index not in dropped]
