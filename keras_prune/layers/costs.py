"""What is left of a model costs, and what each candidate does."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_prune.costs.budget import count_costs
from keras_prune.costs.counting import Costs, total
from keras_prune.costs.macs_change import MacsChange, macs_change
from keras_prune.graph.structure import Structure
from keras_prune.layers.bypass import Left
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.trace import Trace


class DepthCosts:
    """Counts parameters, bytes and MACs with some uses of layers passed by.

    What is multiplied, the rules of `channels` say.

    Args:
        structure: The graphs of the model.
        trace: What the rules say of it.
    """

    def __init__(self, structure: Structure, trace: Trace):
        self._kept = Kept(np.ones(len(trace.found.atoms), dtype=bool))
        self._whole = Costs(trace.model.weights, (), trace.uses)
        walk = zip(structure.walk(), trace.uses, strict=True)  # both go through the graphs in one order
        self._uses = [(nodes, use) for (_, nodes), use in walk]

    @property
    def unknown(self) -> Mapping[str, str]:
        """Why the MACs of an operation of the model are not known, by its path."""
        return self._whole.unknown

    def left(self, left: Left) -> dict[str, int | None]:
        """What is left of the model costs, by the names that budgets use."""
        return count_costs(self._left(left), self._kept)

    def macs_change(self, before: Left, after: Left) -> MacsChange:
        """What becomes of the MACs between two such states."""
        return macs_change(self._left(before), self._kept, self._left(after), self._kept)

    def macs(self, nodes: Sequence[Any]) -> int | None:
        """MACs of these nodes of the graph; None if they are not known."""
        gone = {id(node) for node in nodes}
        uses = [use for path, use in self._uses if any(id(node) in gone for node in path)]
        if any(use.unknown for use in uses):
            return None
        return total([self._whole.macs_of(work, self._kept) for use in uses for work in use.work])

    def _left(self, left: Left) -> Costs:
        return Costs(left.weights(), (), [use for nodes, use in self._uses if all(map(left.is_live, nodes))])
