"""`PruningMasks`: the masks of a layer's weights, as state that Keras saves, copies and distributes."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.masking.binary import make_binary
from keras_prune.masking.clusters import WeightClusters
from keras_prune.masking.mask_constraint import hold
from keras_prune.masking.mask_state import MaskState
from keras_prune.masking.prunable import Held

ATTRIBUTE = "pruning_masks"
_PLACE = "place"

Places = Mapping[str, Mapping[str, Any]]
"""By name of a masked weight, where it is in its layer: see `Held.place`."""


@dataclasses.dataclass(frozen=True, eq=False)
class MaskRow:
    """A mask, and the weight that it belongs to, whatever else that weight's layer becomes.

    Args:
        name: Name of the weight in the layer.
        held: The weight.
        mask: Its mask.
        movement: The variable for its movement; None if there is none.
    """

    name: str
    held: Held
    mask: keras.Variable
    movement: keras.Variable | None


@dataclasses.dataclass(frozen=True)
class Untracked:
    """A value that Keras does not search for variables: those of another layer would count as this one's."""

    values: Any


class PruningMasks(MaskState):
    """Layer that holds the masks of another layer's weights: an attribute of its wrapper or, in a subclassed model, of
    the layer itself. Never called.

    A mask is a non-trainable variable of the shape and type of its weight, 1 = kept, 0 = pruned. So checkpoints,
    `.keras` files and distribution need no extra code. Floats, not booleans: multiplying by them is the fastest way to
    apply a mask on every backend.

    A mask belongs to a variable. Where `quantize` has put another in its place, what was pruned is zero for good, and
    the mask no longer counts.

    Args:
        held: The layer's weights to mask, by name.
        movement: Whether there is also a variable for the movement of each weight, which the training step adds up.
            Defaults to False.
    """

    def __init__(self, held: Mapping[str, Held], movement: bool = False):
        super().__init__(name=ATTRIBUTE)
        self._masks = []
        self._movements = []
        self._rows: Any = Untracked([])
        weights = {name: each.weight for name, each in held.items()}
        for name, weight in weights.items():
            mask = self.add_weight(
                name=f"{name.replace('/', '_')}_mask",
                shape=weight.shape,
                initializer="ones",
                dtype=weight.dtype,
                trainable=False,
                autocast=False,
            )
            self._masks.append(mask)
        for name, weight in weights.items() if movement else ():
            moved = self.add_weight(
                name=f"{name.replace('/', '_')}_movement",
                shape=weight.shape,
                initializer="zeros",
                dtype="float32",
                trainable=False,
                autocast=False,
                aggregation="mean",  # over the replicas of a distributed step
            )
            self._movements.append(moved)
        movements = list(self._movements) or [None] * len(held)
        rows = zip(held.items(), self._masks, movements, strict=True)
        self._rows = Untracked([MaskRow(name, each, mask, moved) for (name, each), mask, moved in rows])
        hold(weights.values(), self._masks)
        self.place: int | None = None  # of the layer among the prunable ones, while a model saves or loads weights
        self.in_charge = False  # whether something prunes them in training: see `unpruned`
        self.decided = False  # whether they are as somebody wants them
        self.built = True

    @property
    def rows(self) -> list[MaskRow]:
        """The masks with their weights, those that have lost them included."""
        return list(self._rows.values)

    def places(self, layer: keras.Layer) -> dict[str, dict[str, Any]]:
        """Where the masked weights are in the layer that they belong to."""
        return {row.name: row.held.place(layer) for row in self.rows if row.held.is_alive}

    def keep(self, alive: Sequence[bool]) -> None:
        """Removes the masks that have lost their weights."""
        living = [row for row, lives in zip(self.rows, alive, strict=True) if lives]
        for row in self.rows:
            if all(row is not each for each in living):
                _keras.untrack(self, *(each for each in (row.mask, row.movement) if each is not None))
        with _keras.unlocked(self):
            self._masks = [row.mask for row in living]
            self._movements = [row.movement for row in living if row.movement is not None]
        self._rows = Untracked(living)

    def quantize(self, mode: Any = None, type_check: bool = True, config: Any = None) -> None:
        """Quantise the layer that has these masks in place, with zeros where they prune.

        Keras asks the layers in a model that have no layer in them, so it passes over that layer, and asks this one.
        """
        rows = [row for row in self.rows if getattr(row.held.layer, ATTRIBUTE, None) is self]
        owner = rows[0].held.layer if rows else None  # None: a wrapper has the masks, and Keras has asked its layer
        if owner is None or _keras.is_left_out(owner) or not _has_only_state(owner):
            return
        for row in rows:
            kept, value = ops.cast(row.mask.value, "bool"), row.held.weight.value
            row.held.weight.assign(ops.where(kept, value, ops.zeros_like(value)))
        given = {} if config is None else {"config": config}  # an argument that Keras 3.11 and earlier do not have
        owner.quantize(mode, type_check=type_check, **given)

    def save_own_variables(self, store: Any) -> None:
        for row in self.rows:
            if row.held.is_alive and _has_adapter(row.held.layer):
                warnings.warn(
                    "Keras saves a kernel with its LoRA weights added to it, which fill what is pruned: the loaded "
                    "model computes the same until its masks are applied, which set that to zero again. Received: "
                    f"the weight '{row.held.weight.path}', which has a mask and LoRA weights",
                    stacklevel=2,
                )
        super().save_own_variables(store)
        if self.place is not None:
            store[_PLACE] = np.int64(self.place)

    def load_own_variables(self, store: Any) -> None:
        values = {key: store[key] for key in store.keys()}  # noqa: SIM118  # not a dict
        place = values.pop(_PLACE, None)
        if place is not None and self.place is not None and int(place[()]) != self.place:
            raise ValueError(
                "The file has masks of other layers than the model, so its weights belong to other layers too; some "
                "may be loaded already. Choose the layers as in the file: `wrap_pruning(model, layers=...)`. "
                f"Received: masks of prunable layer {int(place[()])} for prunable layer {self.place}, counted from 0"
            )
        super().load_own_variables(values)
        make_binary({mask.path: mask for mask in self._masks})

    @property
    def masks(self) -> list[keras.Variable]:
        """The masks in the order of the layer's prunable weights. (Their names may differ from copy to copy: Keras
        numbers the sublayers that were given none.)"""
        return list(self._masks)

    @property
    def has_movements(self) -> bool:
        """Whether there are variables for the movement."""
        return bool(self._movements)

    @property
    def movements(self) -> list[keras.Variable | None]:
        """The variables for the movement of each weight, in the same order; None where there is none."""
        return list(self._movements) or [None] * len(self._masks)


def _has_only_state(layer: keras.Layer) -> bool:
    """Whether the layers in this one are only masks and clusters."""
    return all(isinstance(part, PruningMasks | WeightClusters) for part in _keras.sublayers(layer))


def _has_adapter(layer: Any) -> bool:
    """Whether the layer has LoRA weights that change what it computes."""
    last = [getattr(layer, name, None) for name in ("lora_kernel_b", "lora_embeddings_b")]
    return any(each is not None and _keras.as_numpy(each).any() for each in last)
