"""Whole blocks of a model that was written out: what a custom layer was, with all its residual branches.

A block maps a tensor to one of the same shape, and at least one residual sum lies on the way. It is removed by taking
that way from its end back to its start: each sum keeps its shortcut, and what else stands there, the normalisation
behind a sum, is bypassed.
"""

from collections.abc import Iterator
from typing import Any

from keras_prune.expansion.names import SEPARATOR
from keras_prune.expansion.report import find_report
from keras_prune.graph.structure import Graph, Structure, data_tensors
from keras_prune.layers.bypass import Cut, Left
from keras_prune.layers.candidates import Candidate, candidate_of, why_not
from keras_prune.layers.residual_sums import droppable, operands

BY_UNITS = "a ratio or budget considers it with units='blocks' only"


def find_blocks(structure: Structure) -> list[Candidate]:
    """The blocks of a model that `expand` made, in the order of the model; none of another one."""
    report = find_report(structure.model)
    graph = structure.graphs[0]
    paths = dict.fromkeys(layer.path for layer in report.layers if layer.operations is not None) if report else {}
    found = []
    for path in paths:
        inside = [node for node in graph.nodes if node.operation.name.startswith(f"{path}{SEPARATOR}")]
        cuts = _cuts(graph, inside)
        if cuts is not None and any(cut.operand is not None for cut in cuts):
            left = Left(structure, cuts)
            gone = [node for node in inside if not left.is_live(node)]
            found.append(candidate_of(structure, path, "block", cuts, gone))
    return found


def innermost(blocks: list[Candidate]) -> list[Candidate]:
    """The blocks that hold no other block."""
    held = {each.name: {id(node) for node in each.nodes} for each in blocks}
    return [
        block
        for block in blocks
        if not any(held[other.name] < held[block.name] for other in blocks if other is not block)
    ]


def _cuts(graph: Graph, inside: list[Any]) -> list[Cut] | None:
    """The cuts that bypass these nodes, in the order of the model; None if they are no block."""
    own = {id(node) for node in inside}
    ends = [tensor for node in inside for tensor in node.outputs if _leaves(graph, tensor, own)]
    if len(ends) != 1:
        return None
    end = ends[0]
    for start in _entering(graph, inside, own):
        if tuple(start.shape) == tuple(end.shape) and start.dtype == end.dtype:
            cuts = _way(graph, own, end, start)
            if cuts is not None:
                return cuts
    return None


def _leaves(graph: Graph, tensor: Any, own: set[int]) -> bool:
    readers = graph.consumers.get(id(tensor), [])
    return any(tensor is each for each in graph.outputs) or any(id(reader) not in own for reader in readers)


def _entering(graph: Graph, inside: list[Any], own: set[int]) -> Iterator[Any]:
    seen: set[int] = set()
    for node in inside:
        for tensor in data_tensors(node):
            producer = graph.producers.get(id(tensor))
            if id(tensor) not in seen and (producer is None or id(producer) not in own):
                seen.add(id(tensor))
                yield tensor


def _way(graph: Graph, own: set[int], end: Any, start: Any) -> list[Cut] | None:
    """The fewest cuts that make the start of a block its end."""
    known: dict[int, list[Cut] | None] = {id(start): []}

    def back(tensor: Any) -> list[Cut] | None:
        if id(tensor) not in known:
            known[id(tensor)] = None
            node = graph.producers.get(id(tensor))
            known[id(tensor)] = None if node is None or id(node) not in own else through(node)
        return known[id(tensor)]

    def through(node: Any) -> list[Cut] | None:
        summed, free = operands(node), set(droppable(node))
        ways = []
        for index, operand in enumerate(summed):
            others = [other for other in range(len(summed)) if other != index]
            before = back(operand) if free.issuperset(others) else None
            if before is not None:
                ways.append([*before, *(Cut(node, other) for other in others)])
        if ways:
            return min(ways, key=len)
        before = None if summed or why_not(node) else back(data_tensors(node)[0])
        return None if before is None else [*before, Cut(node)]

    return back(end)
