"""Policies: which layers of a model are pruned, and whether pruning them so makes sense.

`PruneForLatencyOnXNNPack` follows the conditions under which XNNPACK, the CPU engine of LiteRT, computes a network of
1x1 convolutions sparsely (Elsen et al. 2019, "Fast Sparse ConvNets").
"""

import abc
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.structure import Graph
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
    """Base of the policies of `prune_low_magnitude`. Subclass it for one of your own.

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
        """Whether this layer is pruned."""

    @abc.abstractmethod
    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raises a `ValueError` if the policy does not fit this model."""


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Prunes the 1x1 convolutions of a model that XNNPACK can compute sparsely.

    Each way from the inputs must lead over `ZeroPadding2D(1)` and a 3x3 `Conv2D` of 3 channels with stride 2 and
    padding "valid", each way to the outputs over a `GlobalAveragePooling2D`. Allowed in between are 1x1 convolutions
    of stride 1, 3x3 and 5x5 depthwise convolutions (padding "same" and stride 1, or "valid" and stride 1 or 2 after a
    `ZeroPadding2D` of 1, or 2, on all sides), batch normalization over channels, bilinear upsampling, addition,
    subtraction, multiplication, dropout, and the activations relu, relu6, leaky_relu, elu and sigmoid.

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
        """Whether the layer is a 1x1 `Conv2D`."""
        return isinstance(layer, keras.layers.Conv2D) and tuple(layer.kernel_size) == (1, 1)

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raises a `ValueError` if XNNPACK would not compute this model sparsely; it names the first obstacle."""
        if not _keras.is_graph(model) or not model.built:
            raise ValueError(
                "The policy looks at the graph of a built Sequential or Functional model. "
                f"Received: a model of class {type(model).__name__}"
            )
        graph = _Graph(model)
        starts = graph.walk(graph.first, graph.is_start, graph.after)
        if starts is None:
            raise ValueError(
                "Each way from the inputs must lead over ZeroPadding2D(1) and then a Conv2D with kernel 3x3, 3 input "
                f"channels, stride 2 and padding 'valid'. Received: the model '{model.name}', where one does not"
            )
        if graph.walk(graph.last, _is_end, graph.before) is None:
            raise ValueError(
                "Each way to the outputs must lead over a GlobalAveragePooling2D. "
                f"Received: the model '{model.name}', where one does not"
            )

        def supported_end(node: Any) -> bool:
            if not _is_end(node) and not graph.is_supported(node):
                operation = node.operation
                raise ValueError(
                    "XNNPACK does not compute this layer sparsely; PruneForLatencyOnXNNPack says which it does. "
                    f"Received: '{operation.name}' of class {type(inner_layer(operation)).__name__}"
                )
            return _is_end(node)

        graph.walk([after for start in starts for after in graph.after(start)], supported_end, graph.after)


def _is_end(node: Any) -> bool:
    return isinstance(node.operation, keras.layers.GlobalAveragePooling2D)


class _Graph:
    """Who makes and who reads the tensors of a model. A node is a use of an operation."""

    def __init__(self, model: keras.Model):
        graph = Graph.of(model)
        self.before, self.after = graph.before, graph.after
        self.first = [node for tensor in graph.inputs for node in graph.consumers.get(id(tensor), ())]
        self.last = [graph.producers[id(tensor)] for tensor in graph.outputs if id(tensor) in graph.producers]

    def walk(
        self, nodes: Iterable[Any], stop: Callable[[Any], bool], following: Callable[[Any], list[Any]]
    ) -> list[Any] | None:
        """The nodes at which all ways from `nodes` stop; None if one ends without."""
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
