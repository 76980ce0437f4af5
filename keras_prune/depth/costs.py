"""What is left of a model costs, and what each candidate does."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_prune.channels.budget import count_costs
from keras_prune.channels.graph import Trace
from keras_prune.channels.kept import Kept
from keras_prune.channels.work import Costs, Work, total
from keras_prune.depth.left import Left
from keras_prune.depth.structure import Structure


class DepthCosts:
    """Counts parameters, bytes and MACs with some uses of layers passed by.

    What is multiplied, the rules of `channels` say.

    Args:
        structure: The graphs of the model.
        trace: What the rules say of it.
    """

    def __init__(self, structure: Structure, trace: Trace):
        self._kept = Kept(np.ones(len(trace.found.atoms), dtype=bool))
        self._costs = Costs(trace.model.weights, (), ())
        uses = list(structure.walk())
        of_layer: dict[str, list[Work]] = {}
        for work in trace.found.work:
            of_layer.setdefault(work.layer, []).append(work)
        times: dict[str, int] = {}
        for path, _ in uses:
            times[path] = times.get(path, 0) + 1
        self._uses: list[tuple[tuple[Any, ...], list[Work]]] = []
        count: dict[str, int] = {}
        for path, nodes in uses:  # each use of a layer has an equal part of its work, one after the other
            own, index = of_layer.get(path, []), count.get(path, 0)
            size = len(own) // times[path]
            self._uses.append((nodes, own[index * size : (index + 1) * size]))
            count[path] = index + 1

    def left(self, left: Left) -> dict[str, int | None]:
        """What is left of the model costs, by the names that budgets use."""
        work = [each for nodes, own in self._uses if all(map(left.is_live, nodes)) for each in own]
        return count_costs(Costs(left.weights(), (), work), self._kept)

    def macs(self, nodes: Sequence[Any]) -> int | None:
        """MACs of these nodes of the graph."""
        gone = {id(node) for node in nodes}
        work = [each for path, own in self._uses if any(id(node) in gone for node in path) for each in own]
        return total([self._costs.macs_of(each, self._kept) for each in work])
