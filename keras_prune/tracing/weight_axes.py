"""Weights that are tensors of the graph: the channels along each axis, and what the operations that read them do.

A layer whose output is one of its weights binds nothing itself: whether an axis makes channels, reads them or belongs
to them is seen where the tensor is used.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_prune.tracing.binding import Role
from tflite_export.reporting import Shown


@dataclasses.dataclass(eq=False)
class WeightAxis(Shown):
    """An axis of such a weight.

    Args:
        owner: The use of the layer that holds the weight, a `RuleContext`.
        weight: The variable.
        axis: Its axis.
        labels: The channels along it.
        roles: What they were seen to do.
    """

    owner: Any
    weight: keras.Variable
    axis: int
    labels: np.ndarray
    roles: list[Role] = dataclasses.field(default_factory=list)

    def has(self, labels: np.ndarray) -> bool:
        """Whether some of these channels are its own."""
        return bool(((labels >= self.labels[0]) & (labels <= self.labels[-1])).any())

    def bind(self) -> None:
        """Binds the axis as what it makes, or else as what it was seen to do first."""
        role: Role = "out" if "out" in self.roles else self.roles[0]
        if role == "out":
            self.owner.name_channels(f"axis{self.axis}", self.labels)
        self.owner.bind(self.weight, self.axis, self.labels, role, mutes=False)


def bind_weight_axes(found: Any) -> None:
    """Bind the axes of all these weights, given the findings about their model.

    What no operation was seen to read or make, as a scale or a table of positions, makes channels if nothing else does.
    """
    axes: Iterable[WeightAxis] = found.weight_axes.values()
    for axis in axes:
        if axis.roles:
            axis.bind()
    atoms = found.atoms
    made = {root for _, minted in found.minted.values() for root in atoms.roots(minted).tolist()}
    for axis in axes:
        bound = found.bindings.get((id(axis.weight), axis.axis))
        roots = set(atoms.roots(axis.labels).tolist())
        if axis.roles or (bound is None and roots <= atoms.frozen().keys()):
            continue
        axis.roles.append(bound.role if bound is not None else "through" if roots & made else "out")
        axis.bind()
        made |= roots
    # In the order of the model, in which channels are numbered.
    found.minted = dict(sorted(found.minted.items(), key=lambda item: item[1][1][:1].tolist()))
