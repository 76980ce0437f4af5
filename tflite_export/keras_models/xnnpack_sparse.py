"""What prevents sparse 1x1 convolutions in XNNPACK, on processors that have them.

On ARM and in WebAssembly XNNPACK skips zeros of 1x1 convolutions, in float32 and float16: if it can turn all from the
first convolution to the global average pooling to channels first, for which it has few operators, and if more than two
thirds of the 1x1 kernels' weights are zero (`xnn_subgraph_rewrite_for_nchw` in its `src/subgraph.c`; Elsen et al. 2020,
"Fast sparse ConvNets"). On x86 it has no such kernels that beat its dense ones with AVX, and does not try.
"""

from typing import TYPE_CHECKING, Any

from tflite_export.keras_models.graph_nodes import graph_nodes, graph_of

if TYPE_CHECKING:
    import keras

ENOUGH = 2 / 3  # more zeros than this


def obstacles(model: "keras.Model") -> tuple[str, ...]:
    """Return what must change in a model before XNNPACK can run its 1x1 convolutions sparse; empty if nothing.

    The check is strict: it also asks for changes of some models with branches that XNNPACK could split.
    """
    import keras

    if graph_of(model) is None:
        return ("the graph of a subclassed model is unknown: build it as a Functional model",)
    nodes = list(graph_nodes(model))
    kinds = [type(node.operation) for node in nodes]
    convolutions = [place for place, kind in enumerate(kinds) if kind is keras.layers.Conv2D]
    pools = [place for place, kind in enumerate(kinds) if kind is keras.layers.GlobalAveragePooling2D]
    if not convolutions:
        return ("it has no Conv2D",)
    producers = {id(tensor): node.operation for node in nodes for tensor in node.outputs}
    first = convolutions[0]
    found = [] if _is_stem(nodes[first], producers) else [f"{nodes[first].operation.name}: {_STEM}"]
    end = next((place for place in pools if place > first), None)
    if end is None:
        found.append("its convolutions must end in a GlobalAveragePooling2D")
        end = len(nodes)
    for node in nodes[first + 1 : end]:
        if _rank(node) == 4 and (need := _need(node, producers)):
            found.append(f"{node.operation.name}: {need}")
    again = [node.operation.name for node in nodes[end:] if _rank(node) == 4]
    if again:
        found.append(f"no images may follow after {nodes[end].operation.name}: {again[0]}")
    return tuple(dict.fromkeys(found))


_STEM = (
    "the first convolution must be 3x3 with strides 2 on 3 channels, with ZeroPadding2D(1) before it and "
    'padding="valid" (padding="same" pads one side only)'
)
# Element-wise, or absent from the file. Padding is checked at the convolution that follows it.
_FINE = (
    *("Add", "Multiply", "Activation", "ReLU", "Relu", "Relu6", "LeakyReLU", "BatchNormalization"),
    *("Dropout", "SpatialDropout2D", "ZeroPadding2D"),
)


def _rank(node: Any) -> int:
    return len(node.outputs[0].shape)


def _is_stem(node: Any, producers: dict[int, Any]) -> bool:
    layer = node.operation
    right = (layer.kernel_size, layer.strides, layer.dilation_rate, layer.groups) == ((3, 3), (2, 2), (1, 1), 1)
    return right and node.input_tensors[0].shape[-1] == 3 and _padded(node, producers, 1)


def _padded(node: Any, producers: dict[int, Any], width: int) -> bool:
    """Whether a convolution reads its image with so many zeros on each side, without padding of its own."""
    import keras

    before = producers.get(id(node.input_tensors[0]))
    if node.operation.padding != "valid" or not isinstance(before, keras.layers.ZeroPadding2D):
        return False
    return before.padding == ((width, width), (width, width))


def _need(node: Any, producers: dict[int, Any]) -> str:
    """What must change in a layer between the first convolution and the pooling; "" if nothing."""
    import keras

    layer, kind = node.operation, type(node.operation)
    if kind is keras.layers.Conv2D:
        pointwise = {*layer.kernel_size, *layer.strides, *layer.dilation_rate, layer.groups} == {1}
        return "" if pointwise else "only 1x1 convolutions with strides 1 and one group may follow the first one"
    if kind is keras.layers.DepthwiseConv2D:
        return _depthwise_need(node, producers)
    of_keras = kind.__module__.partition(".")[0] == "keras"  # layers and keras.ops alike, whose classes are not public
    return "" if of_keras and kind.__name__ in _FINE else f"XNNPACK has no {kind.__name__} there"


def _depthwise_need(node: Any, producers: dict[int, Any]) -> str:
    layer = node.operation
    size, strides = layer.kernel_size, layer.strides
    fits = size in ((3, 3), (5, 5)) and strides in ((1, 1), (2, 2))
    if not fits or layer.dilation_rate != (1, 1) or layer.depth_multiplier != 1:
        return "a depthwise convolution must be 3x3 or 5x5, with strides 1 or 2 and depth_multiplier 1"
    if _padded(node, producers, size[0] // 2) or (layer.padding == "same" and strides == (1, 1)):
        return ""
    return f'pad with ZeroPadding2D({size[0] // 2}) before it and padding="valid"'
