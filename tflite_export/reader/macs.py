"""Multiply-accumulates (MACs) of one run of a `.tflite` file, from the shapes of its operators."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tflite_export.reader.batch_of_one import shapes_of_one
from tflite_export.reader.flatbuffer import THROUGH, Graph, Model, Operator
from tflite_export.reader.tensors import Tensor, count_zeros

# Operators without MACs, as these are counted: element-wise ones, pooling, movement of data, lookups.
_FREE_NAMES = (
    "ABS ADD ADD_N ARG_MAX ARG_MIN ATAN2 AVERAGE_POOL_2D BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO CAST CEIL "
    "CONCATENATION COS CUMSUM DENSIFY DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL "
    "EXP EXPAND_DIMS FAKE_QUANT FILL FLOOR FLOOR_DIV FLOOR_MOD GATHER GATHER_ND GELU GREATER GREATER_EQUAL HARD_SWISH "
    "L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT "
    "LOGICAL_OR LOGISTIC LOG_SOFTMAX MATRIX_DIAG MATRIX_SET_DIAG MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG "
    "NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE RANGE RANK REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN "
    "REDUCE_PROD RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND "
    "RSQRT SCATTER_ND SELECT SELECT_V2 SHAPE SIGN SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPARSE_TO_DENSE "
    "SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE UNIQUE "
    "UNPACK WHERE ZEROS_LIKE"
)
_FREE = frozenset(_FREE_NAMES.split())


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one run of a file, on one sample if its batch is free.

    Attributes:
        total: All products; None if those of some operator, or a size, are unknown.
        effective: Those with a weight that is not zero, likewise.
        unknown: The operators whose products are unknown.
    """

    total: int | None
    effective: int | None
    unknown: tuple[str, ...]


Rule = Callable[[Sequence[Tensor | None], Tensor], list[tuple[int, int | None]]]


def count_macs(model: Model) -> Macs:
    """Count the products of the first graph, the one that runs.

    The products of control flow, custom operators and others whose work does not follow from their shapes are unknown.
    A convolution counts each place of its window, those in the padding too. A batch of any size counts as one sample.
    """
    graph = model.graphs[0]
    shapes = shapes_of_one(graph)
    sized = (replace(tensor, shape=shape) for tensor, shape in zip(graph.tensors, shapes, strict=True))
    graph = replace(graph, tensors=tuple(sized))
    total, effective = 0, 0
    unknown: dict[str, None] = {}
    through = [operator for operator in graph.operators if operator.name in THROUGH]
    source = {written: operator.inputs[0] for operator in through for written in operator.outputs if operator.inputs}
    for operator in graph.operators:
        if operator.name in _FREE:
            continue
        products = _products(graph, operator)
        if products is None:
            unknown[operator.name] = None
            continue
        for times, place in products:
            if place is None:
                total, effective = total + times, effective + times
                continue
            weight = graph.tensors[source.get(place, place)]
            zeros = 0 if weight.data is None else count_zeros(weight)
            total, effective = total + times * weight.elements, effective + times * (weight.elements - zeros)
    return Macs(None, None, tuple(unknown)) if unknown else Macs(total, effective, ())


def _products(graph: Graph, operator: Operator) -> list[tuple[int, int | None]] | None:
    """How often each entry of a weight is multiplied, and the weight's number; None in its place: so many products."""
    rule = _RULES.get(operator.name)
    reads = [graph.tensors[place] if place >= 0 else None for place in operator.inputs]
    makes = [graph.tensors[place] for place in operator.outputs if place >= 0]
    # What a matrix is multiplied with may have any shape: how many rows it has, the output tells.
    shapes = [tensor.shape for tensor in (*reads[operator.name == "FULLY_CONNECTED" :], *makes) if tensor is not None]
    if rule is None or not makes or any(min(shape, default=0) < 0 for shape in shapes):
        return None
    try:
        found = rule(reads, makes[0])
    except (
        IndexError,
        AttributeError,
        ZeroDivisionError,
    ):  # the file may come from any source: its shapes may be absurd
        return None
    return [(times, None if place is None else operator.inputs[place]) for times, place in found]


def _convolution(reads: Sequence[Any], made: Tensor) -> list[tuple[int, int | None]]:
    """The last axis of the output is that of the filters; a window is multiplied at all other places."""
    return [(math.prod(made.shape[:-1]), 1)]


def _transposed(reads: Sequence[Any], made: Tensor) -> list[tuple[int, int | None]]:
    """Its inputs are the shape of the output, the filters and the image, each place of which is multiplied."""
    return [(math.prod(reads[2].shape[:-1]), 1)]


def _dense(reads: Sequence[Any], made: Tensor) -> list[tuple[int, int | None]]:
    return [(made.elements // reads[1].shape[0], 1)]


def _matmul(reads: Sequence[Any], made: Tensor) -> list[tuple[int, int | None]]:
    """Matrices that may be transposed: the axis that is summed over is the one that is not the rows of the output."""
    products = made.elements * math.prod(reads[0].shape[-2:]) // made.shape[-2]
    for place in (0, 1):
        if reads[place].data is not None:
            return [(products // reads[place].elements, place)]
    return [(products, None)]


def _recurrent(*weights: int) -> Rule:
    """Matrices that are multiplied at each step."""

    def rule(reads: Sequence[Any], made: Tensor) -> list[tuple[int, int | None]]:
        steps = math.prod(reads[0].shape[:-1])
        return [(steps, place) for place in weights if place < len(reads) and reads[place] is not None]

    return rule


_RULES: dict[str, Rule] = {
    "CONV_2D": _convolution,
    "CONV_3D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "TRANSPOSE_CONV": _transposed,
    "CONV_3D_TRANSPOSE": _transposed,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _matmul,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent(1, 2, 3, 4, 5, 6, 7, 8, 16),
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent(1, 2),
}
