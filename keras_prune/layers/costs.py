"""What a model costs with some uses of layers bypassed, and what each candidate costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_prune.costs.budget import count_costs
from keras_prune.costs.counting import Costs, total
from keras_prune.costs.macs_change import MacsChange, macs_change
from keras_prune.layers.bypass import Left
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.products import Use
from keras_prune.tracing.trace import Trace


class RemovalCosts:
    """Counts parameters, bytes and MACs with some uses of layers bypassed.

    Args:
        trace: What the rules of `tracing` say that the model multiplies.
    """

    def __init__(self, trace: Trace):
        self._kept = Kept(np.ones(len(trace.found.atoms), dtype=bool))
        self._whole = Costs(trace.model.weights, (), trace.uses)
        self._with_node: dict[int, list[Use]] = {}
        for use in trace.uses:
            for node in use.nodes:
                self._with_node.setdefault(id(node), []).append(use)

    @property
    def unknown(self) -> Mapping[str, str]:
        """Why the MACs of an operation of the model are unknown, by its path."""
        return self._whole.unknown

    def left(self, left: Left) -> dict[str, int | None]:
        """Return the costs of what is left of the model, by the names that budgets use."""
        return count_costs(self._left(left), self._kept)

    def macs_change(self, before: Left, after: Left) -> MacsChange:
        """Return the MACs of two such states of the model."""
        return macs_change(self._left(before), self._kept, self._left(after), self._kept)

    def macs(self, nodes: Sequence[Any]) -> int | None:
        """Return the MACs of these nodes of the graph; None if they are unknown."""
        uses = {id(use): use for node in nodes for use in self._with_node.get(id(node), ())}.values()
        if any(use.unknown for use in uses):
            return None
        return total([self._whole.macs_of(work, self._kept) for use in uses for work in use.work])

    def _left(self, left: Left) -> Costs:
        return Costs(left.weights(), (), [use for use in self._whole.uses if all(map(left.is_live, use.nodes))])
