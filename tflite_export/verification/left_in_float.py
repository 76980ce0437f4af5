"""What the converter leaves without a word in a file that was to be quantized: floating-point, and coarse steps."""

from collections import Counter
from collections.abc import Sequence

from tflite_export.reader.flatbuffer import Model
from tflite_export.reader.weight_tables import TensorSparsity, short_name

_INTEGER = ("int8", "int16x8")  # the modes whose files compute in integers
_MOST = 6  # names in a line
_COARSE = 100_000  # a mask of -1e9 makes steps of four million

_SMALL = 1024  # weights: the converter leaves smaller kernels in float32 with quantize="dynamic"


def warn_of_weights(mode: str | None, tensors: Sequence[TensorSparsity]) -> list[str]:
    """Return a warning that names the kernels and embeddings that are float32 still.

    Args:
        mode: The value of `quantize`.
        tensors: The kernels and embeddings of the file.
    """
    left = [tensor for tensor in tensors if tensor.dtype == "float32"]
    if mode is None or not left:
        return []
    part = "all weights are" if len(left) == len(tensors) else "these weights are"
    if mode == "dynamic" and all(tensor.elements < _SMALL for tensor in left):
        why = f'the converter leaves kernels of fewer than {_SMALL:,} weights, which quantize="int8" does not'
    elif mode == "float16":
        why = "the converter leaves them"
    else:
        by = "the quantizer of int4" if mode == "int4" else "the converter"
        why = f'{by} does not quantize their operators; quantize="float16" halves their size'
    return [f"{part} float32 still, with quantize={mode!r}: {_some([short_name(each) for each in left])}; {why}"]


def warn_of_operators(mode: str | None, model: Model) -> list[str]:
    """Return a warning that names the operators that compute in floating-point in a file of integers.

    Args:
        mode: The value of `quantize`.
        model: The file.
    """
    if mode not in _INTEGER:
        return []
    found = []
    for graph in model.graphs:
        for operator in graph.operators:
            makes = [graph.tensors[place] for place in operator.outputs if place >= 0]
            if operator.name != "DEQUANTIZE" and any(tensor.is_float for tensor in makes):
                reads = [graph.tensors[place] for place in operator.inputs if place >= 0]
                # The converter names the last output by a number of its own; constants keep the names of layers.
                named = next((tensor for tensor in reads if tensor.data is not None and tensor.is_real), makes[0])
                found.append((operator.name, named.name.partition(";")[0]))
    if not found:
        return []
    counts = Counter(name for name, _ in found)
    kinds = ", ".join(f"{count} {name}" for name, count in counts.items())
    return [f"computed in float32, with quantize={mode!r}: {kinds} ({_some([name for _, name in found])})"]


def warn_of_steps(model: Model) -> list[str]:
    """Return a warning about activations whose measured range is so wide that eight bits of it hold nothing else."""
    coarse = [
        tensor.name.partition(";")[0]
        for graph in model.graphs
        for tensor in graph.tensors
        if tensor.dtype in ("int8", "uint8") and len(tensor.scales) == 1 and not tensor.scales[0] < _COARSE
    ]
    if not coarse:
        return []
    return [
        f"one step of eight bits is {_COARSE:,} or more in {_some(coarse)}: a mask of -1e9 or -inf, say, beside which "
        'all else is rounded to 0. Use quantize="dynamic" or "float16", or a mask of some -30 in a custom layer'
    ]


def _some(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")
