"""`Found`: what the rules found about a model."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_prune.tracing.binding import Binding
from keras_prune.tracing.constants import Path
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.labels import Atoms
from keras_prune.tracing.products import Work
from keras_prune.tracing.weight_axes import WeightAxis
from tflite_export.reporting import Shown

Value = Callable[[Kept], Any]


@dataclasses.dataclass
class Found(Shown):
    """The findings of the rules about a model.

    Args:
        atoms: The channels.
        bindings: By identity of the weight, and axis.
        binders: The paths of the layers whose rules bound it, likewise.
        weight_axes: Those of weights that are tensors of the graph, by identity of the weight, and axis.
        of_constants: The atoms of constants, by operation (its identity), place in its call, and axis.
        minted: The atoms of each layer that makes channels, by layer and key, and the layer's path.
        work: What is multiplied, for each use of each layer.
        changes: What changes in the configuration of an operation (by identity), by key.
        arguments: What changes in the arguments of its calls (by identity), by position and name.
        constants: The labels of arrays among the arguments of its calls (by identity), by their place there.
        readers: Operations (by identity) that read channels without a weight; see `RuleContext.read`.
        uses: Every use of each operation (by identity).
        one_size: Operations (by identity) all uses of which must keep the same channels.
    """

    atoms: Atoms = dataclasses.field(default_factory=Atoms)
    bindings: dict[tuple[int, int], Binding] = dataclasses.field(default_factory=dict)
    binders: dict[tuple[int, int], set[str]] = dataclasses.field(default_factory=dict)
    weight_axes: dict[tuple[int, int], WeightAxis] = dataclasses.field(default_factory=dict)
    of_constants: dict[tuple[int, Path, int], np.ndarray] = dataclasses.field(default_factory=dict)
    minted: dict[tuple[int, str], tuple[str, np.ndarray]] = dataclasses.field(default_factory=dict)
    work: list[Work] = dataclasses.field(default_factory=list)
    changes: dict[int, dict[str, Value]] = dataclasses.field(default_factory=dict)
    arguments: dict[int, dict[tuple[int, str], Value]] = dataclasses.field(default_factory=dict)
    constants: dict[int, dict[Path, tuple[np.ndarray, ...]]] = dataclasses.field(default_factory=dict)
    readers: set[int] = dataclasses.field(default_factory=set)
    uses: dict[int, list[Any]] = dataclasses.field(default_factory=dict)
    one_size: set[int] = dataclasses.field(default_factory=set)

    def unite_uses(self) -> None:
        """Unite the channels that reach an operation with one configuration over all its uses."""
        for operation in self.one_size:
            first, *others = self.uses[operation]
            for other in others:
                for earlier, now in zip(first.inputs, other.inputs, strict=True):
                    if earlier.shape == now.shape:
                        first.unite(earlier, now)
                    else:
                        first.freeze(earlier, f"{first.kind} is used on tensors of different shapes")
                        first.freeze(now, f"{first.kind} is used on tensors of different shapes")
