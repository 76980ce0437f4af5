"""Calls of a file that may take any time or memory: in a subprocess, with limits."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflite_export import subprocesses
from tflite_export.errors import ExportError
from tflite_export.limits import Limits
from tflite_export.reader.flatbuffer import Graph, Model
from tflite_export.scratch import temporary_folder

# Operators that run other graphs, or code that is not LiteRT's.
_CONTROL = ("WHILE", "IF", "CALL", "CALL_ONCE", "CUSTOM", "STABLEHLO", "UNKNOWN")
# Which inputs of an operator say how large its output is.
_SIZES: dict[str, tuple[int, ...]] = {
    "BROADCAST_TO": (1,),
    "CONV_3D_TRANSPOSE": (0,),
    "DYNAMIC_UPDATE_SLICE": (2,),
    "FILL": (0,),
    "MIRROR_PAD": (1,),
    "MULTINOMIAL": (1,),
    "ONE_HOT": (1,),
    "PAD": (1,),
    "PADV2": (1,),
    "RANDOM_STANDARD_NORMAL": (0,),
    "RANDOM_UNIFORM": (0,),
    "RANGE": (0, 1, 2),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SCATTER_ND": (2,),
    "SEGMENT_SUM": (1,),
    "SLICE": (1, 2),
    "SPARSE_TO_DENSE": (1,),
    "STRIDED_SLICE": (1, 2, 3),
    "TILE": (1,),
    "TRANSPOSE_CONV": (0,),
    "UNSORTED_SEGMENT_MAX": (2,),
    "UNSORTED_SEGMENT_MIN": (2,),
    "UNSORTED_SEGMENT_PROD": (2,),
    "UNSORTED_SEGMENT_SUM": (2,),
}


def values_decide(model: Model) -> bool:
    """Whether the values of the inputs decide how long a call takes, or how much memory.

    Else a call takes what it took on zeros, in the trial run.
    """
    return len(model.graphs) > 1 or _decides(model.graphs[0])


def _decides(graph: Graph) -> bool:
    known = set(graph.inputs.tolist())  # tensors that depend on values: a shape does not
    for operator in graph.operators:
        if operator.name.split(" ")[0].startswith(_CONTROL):
            return True
        places = _SIZES.get(operator.name, ())
        if any(place < len(operator.inputs) and operator.inputs[place] in known for place in places):
            return True
        variable = operator.name in ("READ_VARIABLE", "HASHTABLE_FIND")
        if variable or (operator.name not in ("SHAPE", "RANK") and known.intersection(operator.inputs)):
            known.update(operator.outputs)
    return False


def call_with_limits(content: bytes, calls: Sequence[Sequence[np.ndarray]], limits: Limits) -> list[list[np.ndarray]]:
    """Return the outputs of each call, as the file stores them.

    Raises:
        ValueError: LiteRT cannot run the file on these inputs, within the limits.
    """
    with temporary_folder() as folder:
        file, source, target = (folder / each for each in ("model.tflite", "inputs.npz", "outputs.npz"))
        file.write_bytes(content)
        arrays: dict[str, Any] = {f"{i}_{j}": x for i, call in enumerate(calls) for j, x in enumerate(call)}
        np.savez(source, **arrays)
        line = (str(file), str(source), str(target))
        try:
            subprocesses.run("tflite_export.workers.calls", *line, task="the run in LiteRT", limits=limits)
        except ExportError as error:
            raise ValueError(f"LiteRT must be able to run the file on these inputs, but {error}") from error
        with np.load(target) as archive:
            outputs = len(archive.files) // len(calls)
            return [[archive[f"{i}_{j}"] for j in range(outputs)] for i in range(len(calls))]
