"""What is known of files that TensorFlow Lite Micro refuses, or runs with other outputs, without running them."""

from tflite_export.micro.operators import method
from tflite_export.reader import flatbuffer
from tflite_export.reader.flatbuffer import Graph, Model


def find_refused(model: Model) -> tuple[str, ...]:
    """Return what TensorFlow Lite Micro is known to refuse."""
    lacking = [name for name in flatbuffer.count_operators(model) if method(name) is None]
    found = [f"it lacks the operators {', '.join(lacking)}"] if lacking else []
    tensors = [tensor for graph in model.graphs for tensor in graph.tensors if tensor.data is not None]
    if any(tensor.dtype == "float16" for tensor in tensors):
        found.append("it does not read float16 weights")
    if hybrid := sorted({name for graph in model.graphs for name in _hybrid(graph)}):
        found.append(f"it has no floating-point {', '.join(hybrid)} with int8 weights (dynamic range)")
    return tuple(found)


def find_sparse(model: Model) -> tuple[str, ...]:
    """Return a problem if zeros are left out: it takes the values that are stored for all of them."""
    found = any(tensor.stored is not None for graph in model.graphs for tensor in graph.tensors)
    return ("it does not read weights whose zeros are left out (sparse storage)",) if found else ()


def find_wrong(model: Model) -> tuple[str, ...]:
    """Return what TensorFlow Lite Micro runs and computes wrong."""
    names = [
        tensor.name.partition(";")[0]
        for graph in model.graphs
        for operator in graph.operators
        if operator.name == "DEQUANTIZE" and operator.inputs and operator.inputs[0] >= 0
        for tensor in (graph.tensors[operator.inputs[0]],)
        if len(tensor.scales) > 1 or tensor.blocks
    ]
    if not names:
        return ()
    return (
        "its DEQUANTIZE knows one scale only, so it computes wrong values from weights with a scale per channel "
        f"(weight-only quantization): {', '.join(names)}",
    )


def _hybrid(graph: Graph) -> list[str]:
    found = []
    for operator in graph.operators:
        if len(operator.inputs) > 1 and min(operator.inputs[:2]) >= 0:
            data, weights = (graph.tensors[place] for place in operator.inputs[:2])
            if data.dtype == "float32" and weights.dtype in ("int8", "int4") and weights.quantization:
                found.append(operator.name)
    return found
