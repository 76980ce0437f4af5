"""The content of a `.tflite` file, without running it: its tensors, its operators, the order of its inputs.

Any file, not only those that `export` wrote. What is inconsistent is a ValueError before it is used.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_export.errors import ExportError, require
from tflite_export.reader.constant_names import name_constants
from tflite_export.reader.offsets import Content, Table
from tflite_export.reader.tensors import Array, Tensor, constant, count_zeros, read_tensor, real_values
from tflite_export.reader.weight_tables import TensorSparsity

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
THROUGH = ("DENSIFY", "DEQUANTIZE")  # a weight may pass through these on its way to the operator


@dataclass(frozen=True)
class Operator:
    """Operator of a graph: its name, and the numbers of its input and output tensors (-1: left out)."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Graph of the file. `inputs` and `outputs` are views of the file, with the numbers of tensors."""

    tensors: tuple[Tensor, ...]
    inputs: np.ndarray[Any, np.dtype[Any]]
    outputs: np.ndarray[Any, np.dtype[Any]]
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Signature:
    """Names of the inputs and outputs of a graph, with the numbers of their tensors."""

    graph: int
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True)
class Model:
    """Content of a file. The first graph is the one that runs; others are bodies of loops, say."""

    description: str
    graphs: tuple[Graph, ...]
    signatures: tuple[Signature, ...]

    def names(self) -> tuple[list[str], list[str]]:
        """Return the names of the first graph's inputs and outputs: in its signature, or else those of the tensors."""
        graph = self.graphs[0]
        names = {place: graph.tensors[place].name for place in (*graph.inputs.tolist(), *graph.outputs.tolist())}
        reads, writes = dict(names), dict(names)
        for signature in self.signatures:
            if signature.graph == 0:
                reads.update({place: name for name, place in signature.inputs.items()})
                writes.update({place: name for name, place in signature.outputs.items()})
                break
        return [reads[i] for i in graph.inputs.tolist()], [writes[i] for i in graph.outputs.tolist()]


def load(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file that should be a `.tflite` file.

    Raises:
        ValueError: There is no such file.
    """
    if not isinstance(path, str | os.PathLike) or not Path(path).is_file():
        received = os.fspath(path) if isinstance(path, os.PathLike) else path
        raise ValueError(f"`path` must be a .tflite file. Received: {received!r}")
    return Path(path).read_bytes()


def read(content: bytes | bytearray) -> Model:
    """Read and check a file.

    Raises:
        ValueError: It is damaged, or not a `.tflite` file.
        ImportError: ai-edge-litert, which knows the names of the operators, is not installed.
    """
    require("ai_edge_litert")
    file = Content(content)
    root = file.root(b"TFL3")
    codes = [_code(table) for table in root.tables(1)]
    buffers = [_buffer(file, table) for table in root.tables(4)]
    graphs = tuple(_graph(file, table, codes, buffers) for table in root.tables(2))
    if not graphs:
        raise file.error("it has no graph")
    signatures = tuple(_signature(file, table, graphs) for table in root.tables(7))
    return Model(root.text(3), graphs, signatures)


def in_order(content: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return the same file, its inputs and outputs listed in the given order of their signature names.

    The converter lists them in the order of a hash map, so `interpreter.get_input_details()[0]`, or
    `input(0)` on a microcontroller, may be any of them: two inputs of one shape are then swapped without an
    error. The lists hold tensor numbers; rewriting these in place changes nothing else.

    Raises:
        ExportError: The file does not have exactly these inputs and outputs.
    """
    buffer = bytearray(content)
    model = read(buffer)
    graph, signature = model.graphs[0], model.signatures[0]
    _arrange(graph.inputs, signature.inputs, inputs, "inputs")
    _arrange(graph.outputs, signature.outputs, outputs, "outputs")
    return bytes(buffer)


def weights(content: bytes) -> tuple[TensorSparsity, ...]:
    """Return the kernels and embeddings of the file: the constants where an operator takes its weights."""
    return tuple(map(constant, _weight_tensors(content)))


def weight_values(content: bytes) -> list[Array | None]:
    """Return the numbers that the same constants stand for, as far as they can be told."""
    return [real_values(tensor) for tensor in _weight_tensors(content)]


def _weight_tensors(content: bytes) -> list[Tensor]:
    found = []
    for graph in read(content).graphs:
        places = {
            operator.inputs[place]
            for operator in graph.operators
            for place in _WEIGHTS.get(operator.name, ())
            if place < len(operator.inputs)
        }
        for operator in reversed(graph.operators):
            if operator.name in THROUGH and operator.outputs[0] in places:
                places.add(operator.inputs[0])
        found += [tensor for i, tensor in enumerate(graph.tensors) if i in places and tensor.data is not None]
    return found


def constants(model: Model) -> tuple[TensorSparsity, ...]:
    """Return all tensors whose values are in the file, weights or not."""
    return tuple(constant(tensor) for graph in model.graphs for tensor in graph.tensors if tensor.data is not None)


def zeros(content: bytes) -> int:
    """Count the zeros in all constants of real numbers, weights or not.

    These are floating-point or quantized; a list of axes has zeros too, of another kind.
    """
    tensors = [tensor for graph in read(content).graphs for tensor in graph.tensors]
    return sum(count_zeros(tensor) for tensor in tensors if tensor.data is not None and tensor.is_real)


def operators(content: bytes) -> dict[str, int]:
    """Count each operator of the file, the most frequent first. Custom ones have their own names."""
    return count_operators(read(content))


def count_operators(model: Model) -> dict[str, int]:
    """Count each operator, as `operators`, of a file that was read."""
    # The body of a loop is a graph of its own.
    counts = Counter(operator.name for graph in model.graphs for operator in graph.operators)
    return dict(counts.most_common())


def _code(table: Table) -> str:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    # Numbers up to 126 stand in a field of one byte too; in old files the wide field is then 0.
    number = max(table.number(3, "int32"), table.number(0, "int8"))
    names = {value: name for name, value in vars(BuiltinOperator).items() if not name.startswith("_")}
    name = names.get(number, f"UNKNOWN {number}")  # of a later LiteRT than ours
    return f"CUSTOM {table.text(1)}" if name == "CUSTOM" else name


def _buffer(file: Content, table: Table) -> np.ndarray[Any, np.dtype[Any]]:
    offset, size = table.number(1, "uint64"), table.number(2, "uint64")
    if offset > 1:  # behind the tables, in a file of more than two gigabytes
        return np.frombuffer(file.bytes, "uint8", size, file.at(offset, size)) if size else np.zeros(0, "uint8")
    return table.numbers(0, "uint8")


def _graph(file: Content, table: Table, codes: list[str], buffers: list[Any]) -> Graph:
    tensors = tuple(read_tensor(file, entry, buffers) for entry in table.tables(0))
    inputs, outputs = table.numbers(1, "int32"), table.numbers(2, "int32")
    operators = []
    for entry in table.tables(3):
        number = entry.number(0, "uint32")
        if number >= len(codes):
            raise file.error(f"it has {len(codes)} kinds of operators and uses number {number}")
        reads, writes = entry.numbers(1, "int32"), entry.numbers(2, "int32")
        _in_range(file, reads, len(tensors), -1)
        _in_range(file, writes, len(tensors), -1)
        operators.append(Operator(codes[number], tuple(reads.tolist()), tuple(writes.tolist())))
    _in_range(file, inputs, len(tensors), 0)
    _in_range(file, outputs, len(tensors), 0)
    tensors = name_constants(tensors, [(operator.inputs, operator.outputs) for operator in operators])
    return Graph(tensors, inputs, outputs, tuple(operators))


def _in_range(file: Content, places: np.ndarray[Any, np.dtype[Any]], count: int, least: int) -> None:
    if len(places) and not (least <= places.min() and places.max() < count):
        raise file.error(f"a graph of it has {count} tensors and uses numbers {places.min()} to {places.max()}")


def _signature(file: Content, table: Table, graphs: Sequence[Graph]) -> Signature:
    number = table.number(4, "uint32")
    if number >= len(graphs):
        raise file.error(f"it has {len(graphs)} graphs and names number {number}")
    maps = [{entry.text(0): entry.number(1, "uint32") for entry in table.tables(field)} for field in (0, 1)]
    for names in maps:
        _in_range(file, np.array(list(names.values()), "int64"), len(graphs[number].tensors), 0)
    return Signature(number, *maps)


def _arrange(listed: Any, tensors: dict[str, int], names: Sequence[str], what: str) -> None:
    wanted = [tensors.get(name) for name in names]
    if None in wanted or sorted(tensors.values()) != sorted(listed.tolist()) or len(names) != len(tensors):
        raise ExportError(
            f"the converter did not keep the {what} {list(names)} of the model. Received: {sorted(tensors)}"
        )
    listed[:] = wanted
