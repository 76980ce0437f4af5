"""Tensors of a `.tflite` file: their values, as they are stored, and how many of them are zero."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflite_export.reader.offsets import Content, Table
from tflite_export.reader.weight_tables import TensorSparsity

Array = np.ndarray[Any, np.dtype[Any]]

# How the types are stored: the type in NumPy, and bits. bfloat16 and the 8-bit floats are known by name only.
_STORED = {
    "float32": ("float32", 32),
    "float16": ("float16", 16),
    "int32": ("int32", 32),
    "uint8": ("uint8", 8),
    "int64": ("int64", 64),
    "bool": ("bool", 8),
    "int16": ("int16", 16),
    "complex64": ("complex64", 64),
    "int8": ("int8", 8),
    "float64": ("float64", 64),
    "complex128": ("complex128", 128),
    "uint64": ("uint64", 64),
    "uint32": ("uint32", 32),
    "uint16": ("uint16", 16),
    "bfloat16": ("uint16", 16),
    "float8_e4m3fn": ("uint8", 8),
    "float8_e5m2": ("uint8", 8),
    "int4": ("int8", 4),
    "int2": ("int8", 2),
    "uint4": ("uint8", 4),
}
_FLOATS = ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")
_INDICES = {1: "int32", 2: "uint16", 3: "uint8"}  # the kinds of vectors of the places of values


@dataclass(frozen=True)
class Tensor:
    """Tensor of a graph.

    Attributes:
        name: Its name.
        shape: Its shape; -1 for an axis without a fixed size.
        dtype: Its type: "float32", "int8", "int4", "string".
        data: The bytes of its values; None if the file has none, as for activations.
        scales: Quantization: one scale for all, one per index along `axis`, or none.
        zero_points: The integers for 0, likewise.
        axis: The axis of the scales.
        blocks: Whether there is a scale per block, in a separate tensor.
        stored: How many values `data` holds, if zeros between them are left out; else None.
        index_bytes: The bytes that the places of these values take.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: Array | None
    scales: Array
    zero_points: Array
    axis: int
    blocks: bool
    stored: int | None
    index_bytes: int

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def quantization(self) -> str:
        """ "per-tensor", "per-channel", "per-block", or "" for what is not quantized."""
        if self.blocks:
            return "per-block"
        return {0: "", 1: "per-tensor"}.get(len(self.scales), "per-channel")

    @property
    def is_float(self) -> bool:
        """Whether its numbers are floating-point."""
        return self.dtype in _FLOATS

    @property
    def is_real(self) -> bool:
        """Whether it holds real numbers, floating-point or quantized, and not ids or sizes."""
        return self.is_float or bool(self.quantization)

    def values(self) -> Array:
        """Return the stored numbers, in one row: small integers unpacked, zero points not subtracted."""
        if self.data is None or self.dtype not in _STORED:
            return np.zeros(0, "uint8")
        kind, bits = _STORED[self.dtype]
        count = self.elements if self.stored is None else self.stored
        if bits >= 8:
            return self.data.view(np.dtype(kind).newbyteorder("<"))
        per_byte = 8 // bits  # the first value in the lowest bits
        shifts = np.arange(per_byte, dtype="uint8") * bits
        fields = (self.data[:, None] >> shifts) & ((1 << bits) - 1)
        values = fields.reshape(-1)[:count].view(kind)
        if kind == "int8":  # two's complement: the highest bit counts negative
            values = (values ^ (1 << (bits - 1))) - (1 << (bits - 1))
        return values


def constant(tensor: Tensor) -> TensorSparsity:
    """Return the description of a tensor whose values are in the file."""
    values = _without_sign_of_zero(tensor)
    zeros, elements = count_zeros(tensor), tensor.elements
    implied = tensor.stored is not None and tensor.stored < elements
    distinct = np.unique(np.append(values, values.dtype.type(0)) if implied else values)
    return TensorSparsity(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        elements=elements,
        zeros=zeros,
        distinct=len(distinct),
        bytes=(0 if tensor.data is None else len(tensor.data)) + tensor.index_bytes,
        stored_sparse=tensor.stored is not None,
        quantization=tensor.quantization,
    )


def real_values(tensor: Tensor) -> Array | None:
    """Return the numbers that a tensor stands for, in its shape; None if zeros are left out of it, or it cannot be
    told."""
    if tensor.stored is not None or tensor.blocks or tensor.dtype not in ("float16", "float32", "int4", "int8"):
        return None
    values = tensor.values().reshape(tensor.shape)
    if tensor.is_float or not len(tensor.scales):
        return values
    shape = [-1 if axis == tensor.axis and len(tensor.scales) > 1 else 1 for axis in range(values.ndim)]
    return (values - tensor.zero_points.reshape(shape)) * tensor.scales.reshape(shape)


def count_zeros(tensor: Tensor) -> int:
    """Count the zeros of a tensor: the elements that are left out, and those at the zero point."""
    if tensor.dtype not in _STORED:
        return 0
    values = _without_sign_of_zero(tensor)
    points = tensor.zero_points[:0] if tensor.is_float else tensor.zero_points
    left_out = tensor.elements - len(values)
    if not len(points) or (points == points[0]).all():
        return left_out + int(np.count_nonzero(values == (points[0] if len(points) else 0)))
    per_axis = points.reshape([-1 if axis == tensor.axis else 1 for axis in range(len(tensor.shape))])
    return left_out + int(np.count_nonzero(values.reshape(tensor.shape) == per_axis))


def _without_sign_of_zero(tensor: Tensor) -> Array:
    """The stored numbers; of floats that NumPy does not know, with 0 in place of -0."""
    values = tensor.values()
    if tensor.is_float and values.dtype.kind == "u":
        minus_zero = values.dtype.type(1 << (8 * values.itemsize - 1))
        values = np.where(values == minus_zero, values.dtype.type(0), values)
    return values


def read_tensor(file: Content, table: Table, buffers: Sequence[Array]) -> Tensor:
    """Read and check an entry of a graph's list of tensors.

    Raises:
        ValueError: Its parts are inconsistent.
    """
    name, number = table.text(3), table.number(2, "uint32")
    shape, signature = table.numbers(0, "int32"), table.numbers(7, "int32")
    dtype = _type_name(table.number(1, "int8"))
    if number >= len(buffers):
        raise file.error(f"it has {len(buffers)} buffers, and the tensor {name!r} is in number {number}")
    if len(shape) and shape.min() < 0:
        raise file.error(f"the tensor {name!r} has the shape {shape.tolist()}")
    data = buffers[number] if len(buffers[number]) else None
    if data is not None:
        file.spend(len(data))
    scales, points, axis, blocks = _quantization(file, table, name, shape)
    stored, index_bytes = None, 0
    if data is not None and (sparsity := table.table(6)) is not None:
        stored, index_bytes = _stored(file, sparsity, name, shape)
        if len(points) and (points != points[0]).any():
            raise file.error(
                f"the sparse tensor {name!r} has several zero points, so the value of what is left out is unknown"
            )
    fixed = tuple(shape.tolist())
    if data is not None and dtype in _STORED:
        bits = _STORED[dtype][1]
        needed = -(-(math.prod(fixed) if stored is None else stored) * bits // 8)
        if len(data) != needed:
            raise file.error(f"the tensor {name!r} of shape {list(fixed)} and type {dtype} has {len(data):,} bytes")
    elif data is None and len(signature) == len(shape):
        fixed = tuple(-1 if free < 0 else size for free, size in zip(signature.tolist(), fixed, strict=True))
    return Tensor(name, fixed, dtype, data, scales, points, axis, blocks, stored, index_bytes)


def _type_name(number: int) -> str:
    from ai_edge_litert.schema_py_generated import TensorType

    names = {value: name for name, value in vars(TensorType).items() if not name.startswith("_")}
    return names.get(number, f"unknown_{number}").lower()


def _quantization(file: Content, table: Table, name: str, shape: Array) -> tuple[Array, Array, int, bool]:
    entry = table.table(4)
    if entry is None:
        return np.zeros(0, "float32"), np.zeros(0, "int64"), 0, False
    scales, points = entry.numbers(2, "float32"), entry.numbers(3, "int64")
    axis, blocks = entry.number(6, "int32"), entry.number(4, "uint8") == 2
    for values in (scales, points):
        along = len(values) < 2 or (0 <= axis < len(shape) and len(values) == shape[axis])
        if not along and not blocks:
            raise file.error(f"the tensor {name!r} of shape {shape.tolist()} has {len(values)} scales for axis {axis}")
    if blocks:
        points = points[:0]  # blocks are symmetric around 0
    return scales, points if len(scales) or blocks else points[:0], axis, blocks


def _stored(file: Content, sparsity: Table, name: str, shape: Array) -> tuple[int, int]:
    """How many values a tensor with zeros left out has, and how many bytes their places take.

    A hierarchy of levels, as in the schema's `SparsityParameters`: one for each axis, in the order of traversal, then
    one for each axis of the blocks. A dense level multiplies the count above it by its size; a sparse one lists, for
    each entry above it, which of its indices are there. LiteRT writes where these point.
    """
    order, blocked, levels = sparsity.numbers(0, "int32"), sparsity.numbers(1, "int32"), sparsity.tables(2)
    extents, rank = shape.tolist(), len(shape)
    unfit = file.error(f"the sparse tensor {name!r} has an index that does not fit its shape {extents}")
    axes = order.tolist()
    if len(levels) != rank + len(blocked) or sorted(axes[:rank]) != list(range(rank)):
        raise unfit
    if sorted(axes[rank:]) != list(range(rank, len(levels))):
        raise unfit
    for place, axis in enumerate(blocked.tolist()):
        level = levels[axes.index(rank + place)]
        block = level.number(1, "int32")
        if level.number(0, "int8") != 0 or not 0 <= axis < rank or block < 1 or extents[axis] % block:
            raise unfit
        extents[axis] //= block
        extents.append(block)
    count, size = 1, order.nbytes + blocked.nbytes
    for axis, level in zip(axes, levels, strict=True):
        if level.number(0, "int8") == 0:
            if level.number(1, "int32") != extents[axis]:
                raise unfit
            count *= extents[axis]
            continue
        segments, indices = (_indices(level, field) for field in (2, 4))
        if not _in_order(segments.astype("int64"), indices.astype("int64"), count, extents[axis]):
            raise unfit
        size += segments.nbytes + indices.nbytes
        count = len(indices)
    return count, size


def _in_order(segments: Array, indices: Array, parents: int, extent: int) -> bool:
    """Whether a sparse level gives each of its parents a segment, in which indices below `extent` rise."""
    if len(segments) != parents + 1 or segments[0] != 0 or segments[-1] != len(indices):
        return False
    if (np.diff(segments) < 0).any():
        return False
    if not len(indices):
        return True
    rising = np.diff(indices) > 0
    rising[segments[(segments > 0) & (segments < len(indices))] - 1] = True  # from one segment to the next
    return bool(indices.min() >= 0 and indices.max() < extent and rising.all())


def _indices(level: Table, field: int) -> Array:
    kind, vector = level.number(field, "uint8"), level.table(field + 1)
    return np.zeros(0, "int32") if vector is None or kind not in _INDICES else vector.numbers(0, _INDICES[kind])
