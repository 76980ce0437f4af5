"""The constant tensors of a file as a reader wants to know them, and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tflite_export.printing import grid, shape_text

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

    @property
    def is_real(self) -> bool:
        """Whether it holds real numbers, floating-point or quantized, and not sizes, axes or ids."""
        return self.dtype.startswith(("float", "bfloat")) or bool(self.quantization)


def tensor_table(heading: str, tensors: Sequence[TensorSparsity], *, whole: bool) -> Any:
    """A table of tensors in the file's order.

    Args:
        heading: What the tensors are.
        tensors: The tensors.
        whole: Whether it shows all of them, or the largest.
    """
    kept = sorted(range(len(tensors)), key=lambda place: -tensors[place].elements)
    kept = sorted(kept if whole else kept[:_ROWS])
    left = len(tensors) - len(kept)
    rows = [
        (
            tensor.name.partition(";")[0],  # the first of the names that the converter joins with ";"
            shape_text(tensor.shape),
            _type(tensor),
            f"{tensor.zeros:,}",
            f"{tensor.sparsity:.1%}",
            f"{tensor.distinct:,}",
            f"{tensor.bytes:,}",
        )
        for tensor in map(tensors.__getitem__, kept)
    ]
    headings = (heading, "shape", "type", "zeros", "sparsity", "distinct", "bytes")
    return grid(headings, rows, f"and {left} smaller" if left else "")


def _type(tensor: TensorSparsity) -> str:
    """Its type, what shares a scale, and whether zeros are left out: "int8 per-channel sparse"."""
    notes = [tensor.quantization, "sparse" if tensor.stored_sparse else ""]
    return " ".join([tensor.dtype, *filter(None, notes)])
