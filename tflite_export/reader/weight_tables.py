"""Descriptions of the constant tensors of a file, and the table of them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tflite_export.reporting import Shown, Table

LARGEST = 12  # tensors that a printed table and a plot show; the report, and its page, have all


@dataclass(frozen=True)
class TensorSparsity(Shown):
    """Constant tensor of a file: a weight, as a rule.

    Attributes:
        name: Its name in the file; if the converter gave it none, that of what is computed from it.
        shape: Its shape in the file: LiteRT has other layouts than Keras.
        dtype: Its type: "float32", "int8", "int4".
        elements: The number of its elements.
        zeros: How many of them are zero: of quantized ones, those at the zero point.
        distinct: The number of its distinct values.
        bytes: Its size in the file, in bytes.
        stored_sparse: Whether zeros are left out in the file.
        quantization: "per-tensor", "per-channel" or "per-block": which elements share a scale; "" without scales.
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

    @property
    def is_real(self) -> bool:
        """Whether it holds real numbers, floating-point or quantized, and not sizes, axes or ids."""
        return self.dtype.startswith(("float", "bfloat")) or bool(self.quantization)


def tensor_table(heading: str, tensors: Sequence[TensorSparsity], most: int | None = None) -> Table:
    """Return a table of tensors in the file's order.

    Args:
        heading: What the tensors are.
        tensors: The tensors.
        most: How many of them it shows at most, the largest. Defaults to None: all.
    """
    shown = tensors if most is None else largest(tensors, most)
    rows = [
        (
            short_name(tensor),
            shape_text(tensor.shape),
            _type(tensor),
            f"{tensor.zeros:,}",
            f"{tensor.sparsity:.1%}",
            f"{tensor.distinct:,}",
            f"{tensor.bytes:,}",
        )
        for tensor in shown
    ]
    headings = (heading, "Shape", "Type", "Zeros", "Sparsity", "Distinct values", "Bytes")
    smaller = len(tensors) - len(shown)
    totals = [(f"and {smaller} smaller", *[""] * (len(headings) - 1))] if smaller else []
    return Table(headings, rows, totals=totals)


def largest(tensors: Sequence[TensorSparsity], most: int = LARGEST) -> list[TensorSparsity]:
    """Return the tensors with the most elements, in the file's order."""
    places = sorted(range(len(tensors)), key=lambda place: -tensors[place].elements)[:most]
    return [tensors[place] for place in sorted(places)]


def short_name(tensor: TensorSparsity) -> str:
    """Return the first of the names that the converter joins with ";"."""
    return tensor.name.partition(";")[0]


def tensor_records(tensors: Sequence[TensorSparsity]) -> list[dict[str, Any]]:
    """Return the tensors as data: their fields and the sparsity."""
    return [dataclasses.asdict(tensor) | {"sparsity": tensor.sparsity} for tensor in tensors]


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as "1 x 28 x 28"; "?" for an axis without a fixed size."""
    return " x ".join("?" if size < 0 else str(size) for size in shape) or "scalar"


def _type(tensor: TensorSparsity) -> str:
    """Its type, what shares a scale, and whether zeros are left out: "int8 per-channel sparse"."""
    notes = [tensor.quantization, "sparse" if tensor.stored_sparse else ""]
    return " ".join([tensor.dtype, *filter(None, notes)])
