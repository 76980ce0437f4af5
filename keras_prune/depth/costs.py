"""What is left of a model costs, and what each candidate does."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_prune.channels.budget import count_costs
from keras_prune.channels.graph import Trace
from keras_prune.channels.kept import Kept
from keras_prune.channels.work import Costs, total
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
        walk = zip(structure.walk(), trace.uses, strict=True)  # both go through the graphs in one order
        self._uses = [(nodes, use.work) for (_, nodes), use in walk]

    def left(self, left: Left) -> dict[str, int | None]:
        """What is left of the model costs, by the names that budgets use."""
        work = [each for nodes, own in self._uses if all(map(left.is_live, nodes)) for each in own]
        return count_costs(Costs(left.weights(), (), work), self._kept)

    def macs(self, nodes: Sequence[Any]) -> int | None:
        """MACs of these nodes of the graph."""
        gone = {id(node) for node in nodes}
        work = [each for path, own in self._uses if any(id(node) in gone for node in path) for each in own]
        return total([self._costs.macs_of(each, self._kept) for each in work])
