"""Reads a `.tflite` file without running it: its weights, its operators, the order of its inputs."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tflite_export.errors import ExportError
from tflite_export.report import TensorSparsity

# Which inputs of an operator are weights if they are constant. Others are not: the first state of an LSTM.
_WEIGHTS = {
    "FULLY_CONNECTED": (1,),
    "CONV_2D": (1,),
    "CONV_3D": (1,),
    "CONV_3D_TRANSPOSE": (1,),
    "DEPTHWISE_CONV_2D": (1,),
    "TRANSPOSE_CONV": (1,),
    "BATCH_MATMUL": (0, 1),
    "EMBEDDING_LOOKUP": (1,),
    "GATHER": (0,),
}


def in_order(content: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The same file, its inputs and outputs listed in the given order of their signature names.

    The converter lists them in the order of a hash map, so `interpreter.get_input_details()[0]`, or
    `input(0)` on a microcontroller, may be any of them: two inputs of one shape are then swapped without a
    word. The lists hold tensor numbers; rewriting these in place leaves all else as it is.

    Raises:
        ExportError: The file does not have exactly these inputs and outputs.
    """
    buffer = bytearray(content)
    model = _read(buffer)
    graph, signature = model.Subgraphs(0), model.SignatureDefs(0)
    read = _tensors(signature.Inputs, signature.InputsLength())
    written = _tensors(signature.Outputs, signature.OutputsLength())
    _arrange(graph.InputsAsNumpy(), read, inputs, "inputs")
    _arrange(graph.OutputsAsNumpy(), written, outputs, "outputs")
    return bytes(buffer)


def weights(content: bytes) -> tuple[TensorSparsity, ...]:
    """The kernels and embeddings of the file: what stands where an operator takes its weights."""
    model = _read(content)
    codes = _codes(model)
    found = []
    for graph in _all(model.Subgraphs, model.SubgraphsLength()):
        places = {
            int(operator.Inputs(place))
            for operator in _all(graph.Operators, graph.OperatorsLength())
            for place in _WEIGHTS.get(codes[operator.OpcodeIndex()], ())
        }
        found += [tensor for place, tensor in _constants(model, graph) if place in places]
    return tuple(found)


def zeros(content: bytes) -> int:
    """How many zeros all constant floating-point tensors hold, weights or not."""
    model = _read(content)
    graphs = _all(model.Subgraphs, model.SubgraphsLength())
    return sum(tensor.zeros for graph in graphs for _, tensor in _constants(model, graph))


def operators(content: bytes) -> dict[str, int]:
    """How often each operator stands in the file, the most frequent first. Custom ones go by their names."""
    model = _read(content)
    codes = _codes(model)
    counts: Counter[str] = Counter()
    for graph in _all(model.Subgraphs, model.SubgraphsLength()):  # the body of a loop is a subgraph of its own
        counts.update(codes[op.OpcodeIndex()] for op in _all(graph.Operators, graph.OperatorsLength()))
    return dict(counts.most_common())


def _read(content: bytes | bytearray) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.Model.GetRootAs(content, 0)


def _all(entry: Callable[[int], Any], length: int) -> Iterator[Any]:
    return map(entry, range(length))


def _codes(model: Any) -> list[str]:
    """The names of the operators that the file uses, by their number in it."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    names = {number: name for name, number in vars(BuiltinOperator).items() if not name.startswith("_")}
    codes = []
    for code in _all(model.OperatorCodes, model.OperatorCodesLength()):
        # Numbers up to 126 stand in a field of one byte too; in old files the wide field is then 0.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = number == BuiltinOperator.CUSTOM
        codes.append(f"CUSTOM {code.CustomCode().decode()}" if custom else names[number])
    return codes


def _constants(model: Any, graph: Any) -> Iterator[tuple[int, TensorSparsity]]:
    """The constant floating-point tensors of a subgraph, each with its number in it."""
    floats = _floats()
    for place, tensor in enumerate(_all(graph.Tensors, graph.TensorsLength())):
        dtype, buffer = floats.get(tensor.Type()), model.Buffers(tensor.Buffer())
        if dtype is None or not buffer.DataLength():
            continue
        values = buffer.DataAsNumpy().view(dtype)
        shape = tuple(tensor.ShapeAsNumpy().tolist()) if tensor.ShapeLength() else ()
        empty = int(values.size - np.count_nonzero(values))
        yield place, TensorSparsity(tensor.Name().decode(), shape, dtype.name, int(values.size), empty)


def _floats() -> dict[int, np.dtype[Any]]:
    from ai_edge_litert.schema_py_generated import TensorType

    return {
        TensorType.FLOAT16: np.dtype("float16"),
        TensorType.FLOAT32: np.dtype("float32"),
        TensorType.FLOAT64: np.dtype("float64"),
    }


def _tensors(entry: Callable[[int], Any], length: int) -> dict[str, int]:
    """Signature name -> number of the tensor."""
    return {item.Name().decode(): item.TensorIndex() for item in _all(entry, length)}


def _arrange(listed: Any, tensors: dict[str, int], names: Sequence[str], what: str) -> None:
    wanted = [tensors.get(name) for name in names]
    if None in wanted or sorted(tensors.values()) != sorted(listed.tolist()) or len(names) != len(tensors):
        raise ExportError(
            f"the converter did not keep the {what} {list(names)} of the model. Received: {sorted(tensors)}"
        )
    listed[:] = wanted
