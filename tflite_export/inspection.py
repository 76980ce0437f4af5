"""`inspect`: the content of any `.tflite` file, without running it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_export.packaging.xz import gzip_bytes, xz
from tflite_export.reader import flatbuffer
from tflite_export.reader.macs import count_macs
from tflite_export.reader.tensors import Tensor
from tflite_export.reader.weight_tables import (
    LARGEST,
    TensorSparsity,
    largest,
    shape_text,
    short_name,
    tensor_records,
    tensor_table,
)
from tflite_export.reporting import Bars, Report, Shown, Table
from tflite_export.validation import check_flag


@dataclass(frozen=True)
class Port(Shown):
    """Input or output of a file.

    Attributes:
        name: Its name in the signature; without one, that of the tensor.
        shape: Its shape with the batch; -1 for an axis without a fixed size.
        dtype: Its type: "float32", "int8".
        scale: Quantization: `real = scale * (integer - zero_point)`; None if it is not quantized.
        zero_point: The integer that stands for 0; None if it is not quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class FileReport(Report):
    """Report of the content of a file: sizes, inputs and outputs, operators, constants, MACs.

    `print` shows tables with the largest constants, `to_html` and `to_markdown` all of them; `records` has an entry for
    each constant.

    Attributes:
        path: The file.
        description: The description that the converter wrote into it.
        bytes: Its size, in bytes.
        gzip_bytes: Its size after gzip, in bytes; None with `compressed=False`.
        xz_bytes: Its size after xz, likewise.
        graphs: How many graphs it has: the first is the model, others are bodies of loops or further entries.
        inputs: The inputs of the model, in the order in which LiteRT lists them.
        outputs: The outputs, likewise.
        operators: How often each operator is used, the most frequent first.
        tensors: All constants: tensors whose values are in the file.
        macs: Multiply-accumulates of one run, counted from the shapes of the operators that multiply: convolutions,
            matrices, LSTM. Where the batch is free, those of one sample. None if those of some operator are unknown.
        effective_macs: Those with a weight that is not zero, likewise.
        uncounted: The operators whose MACs are unknown.
    """

    path: Path
    description: str
    bytes: int
    gzip_bytes: int | None
    xz_bytes: int | None
    graphs: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: dict[str, int]
    tensors: tuple[TensorSparsity, ...]
    macs: int | None
    effective_macs: int | None
    uncounted: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """The number of parameters: real numbers in constants, floating-point or quantized, not sizes, axes and ids."""
        return sum(tensor.elements for tensor in self.tensors if tensor.is_real)

    @property
    def non_zeros(self) -> int:
        """The number of parameters that are not zero."""
        return sum(tensor.elements - tensor.zeros for tensor in self.tensors if tensor.is_real)

    @property
    def flex_operators(self) -> tuple[str, ...]:
        """The operators of TensorFlow ("Flex"), which LiteRT alone cannot run."""
        return tuple(name.removeprefix("CUSTOM ") for name in self.operators if name.startswith("CUSTOM Flex"))

    @property
    def custom_operators(self) -> tuple[str, ...]:
        """Other operators that LiteRT lacks: the program that runs the file must have them."""
        custom = (name.removeprefix("CUSTOM ") for name in self.operators if name.startswith("CUSTOM"))
        return tuple(name for name in custom if name not in self.flex_operators)

    @property
    def elements(self) -> int:
        """The number of elements of all `tensors`."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def zeros(self) -> int:
        """The number of these elements that are zero."""
        return sum(tensor.zeros for tensor in self.tensors)

    @property
    def sparsity(self) -> float:
        """The fraction of these elements that is zero."""
        return self.zeros / max(1, self.elements)

    def __str__(self) -> str:
        tables = (self._summary(), tensor_table("Constant", self.tensors, LARGEST))
        return "\n".join(table.text() for table in tables if table.rows)

    def _tables(self) -> list[Table]:
        return [self._summary(), tensor_table("Constant", self.tensors)]

    def _rows(self) -> list[dict[str, Any]]:
        return tensor_records(self.tensors)

    def _facts(self) -> Mapping[str, Any]:
        sums = ("parameters", "non_zeros", "flex_operators", "custom_operators", "elements", "zeros", "sparsity")
        return {**super()._facts(), "tensors": self._rows(), **{name: getattr(self, name) for name in sums}}

    def _bars(self) -> Bars:
        shown = largest(self.tensors)
        values = {
            "all": [tensor.elements for tensor in shown],
            "not zero": [tensor.elements - tensor.zeros for tensor in shown],
        }
        return Bars(self.path.name, "numbers in the largest constants", [short_name(each) for each in shown], values)

    def _summary(self) -> Table:
        size = f"{self.bytes:,} bytes"
        if self.gzip_bytes is not None and self.xz_bytes is not None:
            size += f", {self.gzip_bytes:,} gzip, {self.xz_bytes:,} xz"
        rows = [
            ("size", size),
            ("description", self.description),
            ("sparsity", f"{self.sparsity:.1%} of {self.elements:,} constants"),
            ("MACs", self._macs()),
            ("operators", ", ".join(f"{count} {name}" for name, count in self.operators.items())),
            ("Flex operators", ", ".join(self.flex_operators)),
            ("custom operators", ", ".join(self.custom_operators)),
            ("graphs", str(self.graphs) if self.graphs > 1 else ""),
        ]
        rows += [("input", _port(port)) for port in self.inputs]
        rows += [("output", _port(port)) for port in self.outputs]
        return Table(None, [row for row in rows if row[1]], self.path.name)

    def _macs(self) -> str:
        if self.macs is None:
            return f"unknown, because of {', '.join(self.uncounted)}"
        return f"{self.macs:,}, {self.effective_macs:,} with weights that are not zero"


def inspect(path: str | os.PathLike[str], *, compressed: bool = True) -> FileReport:
    """Read a `.tflite` file from any source, without running it and without TensorFlow.

    Args:
        path: The file.
        compressed: Whether to measure its size after gzip and xz: some seconds for ten megabytes. Defaults to True.

    Returns:
        Sizes in bytes, inputs and outputs, operators, and for each constant tensor its zeros, its distinct
        values and how it is stored.

    Raises:
        ValueError: There is no such file, or it is damaged or no `.tflite` file.
        ImportError: ai-edge-litert is not installed.

    Example:

    ```python
    import pathlib
    import keras
    import tflite_export

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    tflite_export.export(model, "model.tflite")
    report = tflite_export.inspect("model.tflite")
    print(report)
    pathlib.Path("model.html").write_text(report.to_html(), encoding="utf-8")
    ```
    """
    compressed = check_flag(compressed, "compressed")
    content = flatbuffer.load(path)
    model = flatbuffer.read(content)
    graph, names = model.graphs[0], model.names()
    macs = count_macs(model)
    return FileReport(
        path=Path(path),
        description=model.description,
        bytes=len(content),
        gzip_bytes=gzip_bytes(content) if compressed else None,
        xz_bytes=len(xz(content)) if compressed else None,
        graphs=len(model.graphs),
        inputs=tuple(_as_port(n, graph.tensors[i]) for n, i in zip(names[0], graph.inputs.tolist(), strict=True)),
        outputs=tuple(_as_port(n, graph.tensors[i]) for n, i in zip(names[1], graph.outputs.tolist(), strict=True)),
        operators=flatbuffer.count_operators(model),
        tensors=flatbuffer.constants(model),
        macs=macs.total,
        effective_macs=macs.effective,
        uncounted=macs.unknown,
    )


def _as_port(name: str, tensor: Tensor) -> Port:
    quantized = len(tensor.scales) == 1 and not tensor.is_float
    scale = float(tensor.scales[0]) if quantized else None
    point = int(tensor.zero_points[0]) if quantized and len(tensor.zero_points) else 0
    return Port(name, tensor.shape, tensor.dtype, scale, point if quantized else None)


def _port(port: Port) -> str:
    scale = "" if port.scale is None else f", scale {port.scale:.6g}, zero point {port.zero_point}"
    return f"{port.name}: {port.dtype}, {shape_text(port.shape)}{scale}"
