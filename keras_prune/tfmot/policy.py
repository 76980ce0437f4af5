"""Policies: which layers of a model are pruned, and whether the model supports it.

`PruneForLatencyOnXNNPack` follows the conditions under which XNNPACK, the CPU engine of LiteRT, computes a network of
1x1 convolutions sparsely (Elsen et al. 2019, "Fast Sparse ConvNets").
"""

import abc
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.structure import Graph, Structure
from keras_prune.masking.masked_weights import inner_layer

_SIMPLE = (
    keras.layers.Add,
    keras.layers.Multiply,
    keras.layers.ZeroPadding2D,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Dropout,
)
_ACTIVATIONS = {"relu", "relu6", "leaky_relu", "elu", "sigmoid"}
_OPERATIONS = tuple(_keras.operation_classes("numpy.Add", "numpy.Subtract", "numpy.Multiply"))


class PruningPolicy(abc.ABC):
    """Base class of the policies of `prune_low_magnitude`. Subclass it for a custom policy.

    Example:

    ```python
    class OnlyDense(sparsity.PruningPolicy):
        def allow_pruning(self, layer):
            return isinstance(layer, keras.layers.Dense)

        def ensure_model_supports_pruning(self, model):
            pass

    pruned = sparsity.prune_low_magnitude(model, pruning_policy=OnlyDense())
    ```
    """

    @abc.abstractmethod
    def allow_pruning(self, layer: keras.Layer) -> bool:
        """Return whether this layer is pruned."""

    @abc.abstractmethod
    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise a `ValueError` if the policy does not fit this model."""


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Policy that prunes the 1x1 convolutions of a model that XNNPACK can compute sparsely.

    Each path from the inputs must begin with `ZeroPadding2D(1)` and a 3x3 `Conv2D` of 3 channels with stride 2 and
    padding "valid", and each path to the outputs must contain a `GlobalAveragePooling2D`. Allowed in between are 1x1
    convolutions of stride 1, 3x3 and 5x5 depthwise convolutions (padding "same" and stride 1, or "valid" and stride 1
    or 2 after a `ZeroPadding2D` of 1, or 2, on all sides), batch normalization over channels, bilinear upsampling,
    addition, subtraction, multiplication, dropout, and the activations relu, relu6, leaky_relu, elu and sigmoid. Models
    inside are entered.

    Example:

    ```python
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(8, 3, strides=2),
            layers.Conv2D(16, 1),
            layers.GlobalAveragePooling2D(keepdims=True),
        ]
    )
    pruned = sparsity.prune_low_magnitude(model, pruning_policy=sparsity.PruneForLatencyOnXNNPack())
    ```
    """

    def allow_pruning(self, layer: keras.Layer) -> bool:
        """Return whether the layer is a 1x1 `Conv2D`."""
        return isinstance(layer, keras.layers.Conv2D) and tuple(layer.kernel_size) == (1, 1)

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise a `ValueError` if XNNPACK would not compute this model sparsely; it names the first obstacle."""
        if not _keras.is_graph(model) or not model.built:
            raise ValueError(
                "The policy needs the graph of a built Sequential or Functional model. "
                f"Received: a model of class {type(model).__name__}"
            )
        graph = _Graph(model)
        starts = graph.walk(graph.first, graph.is_start, graph.after)
        if starts is None:
            raise ValueError(
                "Each path from the inputs must begin with ZeroPadding2D(1) and then a Conv2D with kernel 3x3, 3 input "
                f"channels, stride 2 and padding 'valid'. Received: the model '{model.name}', where one does not"
            )
        if graph.walk(graph.last, _is_end, graph.before) is None:
            raise ValueError(
                "Each path to the outputs must contain a GlobalAveragePooling2D. "
                f"Received: the model '{model.name}', where one does not"
            )

        def supported_end(node: Any) -> bool:
            if not _is_end(node) and not graph.is_supported(node):
                operation = node.operation
                raise ValueError(
                    "XNNPACK does not compute this layer sparsely; PruneForLatencyOnXNNPack lists those that it does. "
                    f"Received: '{operation.name}' of class {type(inner_layer(operation)).__name__}"
                )
            return _is_end(node)

        graph.walk([after for start in starts for after in graph.after(start)], supported_end, graph.after)


def _read(node: Any) -> list[Any]:
    return list(node.arguments.keras_tensors)


def _index(tensors: Iterable[Any], tensor: Any) -> int:
    return next(index for index, each in enumerate(tensors) if each is tensor)


def _is_end(node: Any) -> bool:
    return isinstance(node.operation, keras.layers.GlobalAveragePooling2D)


class _Graph:
    """Which calls of operations follow which in a model, through the models in it. A node is a call of an operation."""

    def __init__(self, model: keras.Model):
        self._structure = Structure(model)
        whole = self._structure.graphs[0]
        self._inputs = {id(tensor) for tensor in whole.inputs}
        nodes = [node for node in self._structure.nodes if self._structure.inner(node) is None]
        self._before = {id(node): self._made_by(self._structure.of_node[id(node)], _read(node)) for node in nodes}
        self._after: dict[int, list[Any]] = {}
        for node in nodes:
            for each in self.before(node):
                self._after.setdefault(id(each), []).append(node)
        self.first = [node for node in nodes if self._reads_input(self._structure.of_node[id(node)], _read(node))]
        self.last = self._made_by(whole, whole.outputs)

    def before(self, node: Any) -> list[Any]:
        """The nodes that make what a node reads."""
        return self._before[id(node)]

    def after(self, node: Any) -> list[Any]:
        """The nodes that read what a node makes."""
        return self._after.get(id(node), [])

    def _made_by(self, graph: Graph, tensors: Iterable[Any]) -> list[Any]:
        """The nodes that make these tensors of a graph: one in another model, if it is made there."""
        found: list[Any] = []
        for tensor in tensors:
            producer = graph.producers.get(id(tensor))
            inner = None if producer is None else self._structure.inner(producer)
            if producer is None:
                for around, passed in self._passed(graph, tensor):
                    found += self._made_by(around, [passed])
            elif inner is None:
                found.append(producer)
            else:
                found += self._made_by(inner, [inner.outputs[_index(producer.outputs, tensor)]])
        return found

    def _reads_input(self, graph: Graph, tensors: Iterable[Any]) -> bool:
        return any(
            id(tensor) in self._inputs
            or any(self._reads_input(around, [passed]) for around, passed in self._passed(graph, tensor))
            for tensor in tensors
            if id(tensor) not in graph.producers
        )

    def _passed(self, graph: Graph, tensor: Any) -> list[tuple[Graph, Any]]:
        """What the calls of a model inside pass for an input of it, and the graphs of these calls."""
        calls = [node for node in self._structure.nodes if self._structure.inner(node) is graph]
        index = _index(graph.inputs, tensor)
        return [(self._structure.of_node[id(node)], _read(node)[index]) for node in calls]

    def walk(
        self, nodes: Iterable[Any], stop: Callable[[Any], bool], following: Callable[[Any], list[Any]]
    ) -> list[Any] | None:
        """The nodes at which all paths from `nodes` stop; None if one ends without."""
        waiting = list(nodes)
        seen = {id(node) for node in waiting}
        found = []
        while waiting:
            node = waiting.pop()
            if stop(node):
                found.append(node)
                continue
            steps = following(node)
            if not steps:
                return None
            new = [each for each in steps if id(each) not in seen]
            seen.update(map(id, new))
            waiting += new
        return found or None

    def is_start(self, node: Any) -> bool:
        layer = inner_layer(node.operation)
        return (
            isinstance(layer, keras.layers.Conv2D)
            and tuple(layer.kernel.shape[:3]) == (3, 3, 3)
            and tuple(layer.strides) == (2, 2)
            and layer.padding == "valid"
            and self._padded_by(node) == 1
        )

    def _padded_by(self, node: Any) -> int | None:
        """How many zeros the `ZeroPadding2D` before this node adds on all four sides."""
        producers = self.before(node)
        if len(producers) != 1 or not isinstance(producers[0].operation, keras.layers.ZeroPadding2D):
            return None
        sides = {side for axis in producers[0].operation.padding for side in axis}
        return sides.pop() if len(sides) == 1 else None

    def is_supported(self, node: Any) -> bool:
        layer = inner_layer(node.operation)
        layers = keras.layers
        if isinstance(layer, (*_SIMPLE, *_OPERATIONS)):
            return True
        if isinstance(layer, layers.DepthwiseConv2D):
            return self._is_supported_depthwise(node, layer)
        if isinstance(layer, layers.Conv2D):
            ones = (tuple(layer.dilation_rate), tuple(layer.kernel_size), tuple(layer.strides))
            return layer.groups == 1 and all(pair == (1, 1) for pair in ones)
        if isinstance(layer, layers.BatchNormalization):
            return layer.axis in (3, -1)
        if isinstance(layer, layers.UpSampling2D):
            return layer.interpolation == "bilinear"
        if isinstance(layer, layers.Activation):
            return getattr(layer.activation, "__name__", None) in _ACTIVATIONS
        return False

    def _is_supported_depthwise(self, node: Any, layer: keras.layers.DepthwiseConv2D) -> bool:
        kernel, strides = tuple(layer.kernel_size), tuple(layer.strides)
        if layer.depth_multiplier != 1 or tuple(layer.dilation_rate) != (1, 1) or kernel not in ((3, 3), (5, 5)):
            return False
        if layer.padding == "same":
            return strides == (1, 1)
        return strides in ((1, 1), (2, 2)) and self._padded_by(node) == kernel[0] // 2
