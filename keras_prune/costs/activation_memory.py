"""Peak memory of the activations of a model whose operations run one after the other."""

from collections.abc import Sequence
from typing import Any

from keras_prune.costs.counting import item_size, total
from keras_prune.graph.structure import Graph, Structure
from keras_prune.tracing.products import entries

Step = tuple[list[int], list[int]]  # the numbers of the tensors that an operation reads, and of those that it makes


def tensor_bytes(tensor: Any) -> int | None:
    """Bytes of one sample of a symbolic tensor; None if a size is unknown."""
    count = entries(tuple(tensor.shape))
    return None if count is None else count * item_size(tensor.dtype)


def peak_bytes(structure: Structure) -> int | None:
    """Return the most bytes that the tensors of a model take at a time; None if a size is unknown.

    Operations run in the order of the graph. A tensor lives from the operation that makes it to the last that reads
    it; the model's inputs live from the start, its outputs to the end.
    """
    sizes: list[int | None] = []
    steps: list[Step] = []
    graph = structure.graphs[0]
    inputs = [_new(sizes, tensor) for tensor in graph.inputs]
    outputs = _run(structure, graph, inputs, sizes, steps)
    if total(sizes) is None:
        return None
    last = {number: index for index, (reads, _) in enumerate(steps) for number in reads}
    last.update(dict.fromkeys(outputs, len(steps)))
    alive = set(inputs)
    peak = _sum(sizes, alive)
    for index, (_, makes) in enumerate(steps):
        alive.update(makes)
        peak = max(peak, _sum(sizes, alive))
        alive = {number for number in alive if last.get(number, -1) > index}
    return peak


def _run(
    structure: Structure, graph: Graph, inputs: Sequence[int], sizes: list[int | None], steps: list[Step]
) -> list[int]:
    """Numbers the tensors of a graph and of the models in it and adds the steps; returns the numbers of the outputs."""

    def step(node: Any, numbers: dict[int, int]) -> list[int]:
        reads = [numbers[id(tensor)] for tensor in node.arguments.keras_tensors]
        inner = structure.inner(node)
        if inner is not None and len(reads) == len(inner.inputs):
            return _run(structure, inner, reads, sizes, steps)
        makes = [_new(sizes, tensor) for tensor in node.outputs]
        steps.append((reads, makes))
        return makes

    return graph.flow(inputs, step)[0]


def _new(sizes: list[int | None], tensor: Any) -> int:
    sizes.append(tensor_bytes(tensor))
    return len(sizes) - 1


def _sum(sizes: Sequence[int | None], alive: set[int]) -> int:
    return sum(sizes[number] or 0 for number in alive)
