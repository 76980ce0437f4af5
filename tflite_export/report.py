"""What `export` found out about the file it wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tflite_export.printing import facts, grid, plain_text, shape_text

_ROWS = 12  # tensors that a printed table shows; the report holds all


@dataclass(frozen=True)
class TensorSparsity:
    """A constant tensor in the file: a weight, as a rule.

    Attributes:
        name: Its name in the file.
        shape: Its shape in the file: LiteRT has other layouts than Keras.
        dtype: Its type: "float32", "int8", "int4".
        elements: How many numbers it holds.
        zeros: How many of them stand for zero: for quantized ones, those at the zero point.
        distinct: How many different numbers it holds.
        bytes: What it takes in the file.
        stored_sparse: Whether zeros are left out in the file.
        quantization: "per-tensor", "per-channel" or "per-block": what shares a scale; "" without scales.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    elements: int
    zeros: int
    distinct: int
    bytes: int
    stored_sparse: bool
    quantization: str

    @property
    def sparsity(self) -> float:
        """The fraction that is zero."""
        return self.zeros / max(1, self.elements)


@dataclass(frozen=True)
class ExportReport:
    """A written file and the checks that it passed. `print(report)` shows it as tables.

    Attributes:
        path: The file.
        bytes: Its size.
        zipped_bytes: Its size after deflate, what a download or an app package takes.
        inputs: The signature names of its inputs, in the file's order, which is the Keras model's.
        outputs: The signature names of its outputs, likewise.
        samples: How many samples went through Keras and through the file.
        max_difference: The largest difference from Keras's outputs, relative to max(1, max|Keras output|).
        tolerance: What it had to stay within.
        tensors: The kernels and embeddings.
        operators: How often each operator of LiteRT is used.
        latency_ms: Median time of one call on this machine, with one thread.
        latency_p10_ms: 10th percentile of the same.
        latency_p90_ms: 90th percentile of the same.
    """

    path: Path
    bytes: int
    zipped_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    samples: int
    max_difference: float
    tolerance: float
    tensors: tuple[TensorSparsity, ...]
    operators: dict[str, int]
    latency_ms: float
    latency_p10_ms: float
    latency_p90_ms: float

    @property
    def sparsity(self) -> float:
        """The fraction of all `tensors` that is zero."""
        return sum(t.zeros for t in self.tensors) / max(1, sum(t.elements for t in self.tensors))

    def __str__(self) -> str:
        headings = ("weight", "shape", "zeros", "sparsity")
        rows, left = largest(self.tensors)
        cells = [
            (short_name(tensor), shape_text(tensor.shape), f"{tensor.zeros:,}", f"{tensor.sparsity:.1%}")
            for tensor in rows
        ]
        return plain_text(facts(self.path.name, self._facts()), grid(headings, cells, left))

    def _facts(self) -> list[tuple[str, str]]:
        spread = f"p10 {self.latency_p10_ms:.3g}, p90 {self.latency_p90_ms:.3g}"
        check = f"allowed {self.tolerance:g}, {self.samples} samples"
        return [
            ("size", f"{self.bytes:,} bytes, {self.zipped_bytes:,} zipped"),
            ("sparsity", f"{self.sparsity:.1%} of the weights"),
            ("difference from Keras", f"{self.max_difference:.2g} ({check})"),
            ("latency", f"{self.latency_ms:.3g} ms ({spread}, one thread)"),
            ("operators", ", ".join(f"{count} {name}" for name, count in self.operators.items())),
            ("inputs", ", ".join(self.inputs)),
            ("outputs", ", ".join(self.outputs)),
        ]


def largest(tensors: Sequence[TensorSparsity]) -> tuple[list[TensorSparsity], str]:
    """The tensors that a table shows, in the file's order, and a last row for those that it does not."""
    kept = sorted(range(len(tensors)), key=lambda place: -tensors[place].elements)[:_ROWS]
    left = len(tensors) - len(kept)
    return [tensors[place] for place in sorted(kept)], f"and {left} smaller" if left else ""


def short_name(tensor: TensorSparsity) -> str:
    """The first of the names that the converter joins with ";"."""
    return tensor.name.partition(";")[0]
