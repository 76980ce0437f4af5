"""Names for the constants to which the converter gave none: TensorFlow 2.19 and 2.20 call them `arith.constant7`."""

import dataclasses
import re
from collections.abc import Sequence

from tflite_export.reader.tensors import Tensor

_NAMELESS = re.compile(r"(arith\.constant|StatefulPartitionedCall|PartitionedCall)[\d_:]*$")
_OFFSETS = ("BiasAdd", "Add", "add")  # what names of sums end in


def name_constants(
    tensors: Sequence[Tensor], uses: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> tuple[Tensor, ...]:
    """Return the tensors of a graph, its nameless constants named by what is computed from them.

    TensorFlow 2.21 does likewise. Those whose result has no name either, as in the last layer, remain nameless.

    Args:
        tensors: The tensors.
        uses: For each operator, in the order of the file, the numbers of the tensors that it reads and writes; below 0
            for those left out.
    """
    names = {i: tensor.name for i, tensor in enumerate(tensors) if not _NAMELESS.match(tensor.name)}
    for reads, writes in reversed(uses):
        made = next((names[i] for i in writes if i in names), "")
        for place, i in enumerate(reads):
            if made and i >= 0 and i not in names:
                names[i] = _part(made, offset=place > 1)
    return tuple(
        dataclasses.replace(tensor, name=names[i]) if tensor.data is not None and i in names else tensor
        for i, tensor in enumerate(tensors)
    )


def _part(joined: str, offset: bool) -> str:
    """One of the names that the converter joined for an operator that does the work of several."""
    parts = [part for part in joined.split(";") if "/" in part] or [joined]
    return next((part for part in parts if part.rstrip("0123456789").endswith(_OFFSETS) == offset), parts[0])
