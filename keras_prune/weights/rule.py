"""`PruningRule`: per-layer sparsity, importance criterion and selection, which hold for all mask updates."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_prune import importance as importances
from keras_prune.importance import Importance
from keras_prune.masking.masked_weights import MaskedWeight, find_masked
from keras_prune.patterns import check_patterns, matches
from keras_prune.selection import Percentile, Selection
from keras_prune.validation import check_flag, check_sparsity
from keras_prune.weights.allocation import erk
from keras_prune.weights.regrowth import Regrowth

Target = float | Literal["erk"] | None
Targets = Mapping[str, Target] | Literal["uniform", "erk"]


@dataclasses.dataclass(frozen=True)
class PruningRule:
    """How much of each layer is pruned, and which of its weights: the settings that hold for all mask updates.

    Args:
        selection: How scores become masks.
        importance: Name of a criterion, or a function `weight -> scores` or `(weight, statistics) -> scores`.
        targets: For layers with a sparsity of their own, name pattern -> final sparsity; "erk": this layer's part of
            the common one, by its shape; None: the layer is not pruned. The first pattern that matches applies. Or one
            word for all layers: "uniform" or "erk".
        prune_frozen: Whether weights that are not trainable are pruned too.
        regrowth: Which pruned weights grow again; None: none do.

    Raises:
        ValueError: An unknown importance, a target outside [0, 1) or above what the selection can reach, or a sparsity
            for a selection that takes none.
        TypeError: `selection` is no `Selection`, `targets` no mapping or word, or `regrowth` no `Regrowth`.
    """

    selection: Selection
    importance: str | Importance
    targets: Targets
    prune_frozen: bool
    regrowth: Regrowth | None = None

    @classmethod
    def of(
        cls, selection: Any, importance: Any, targets: Any, prune_frozen: Any, regrowth: Any = None
    ) -> "PruningRule":
        """The rule of arguments as users give them, None for the default."""
        selection = Percentile() if selection is None else selection
        return cls(selection, importance, {} if targets is None else targets, prune_frozen, regrowth)

    def __post_init__(self) -> None:
        check_flag(self.prune_frozen, "prune_frozen")
        if not isinstance(self.selection, Selection):
            raise TypeError(
                "`selection` must be a Selection, such as `Percentile()` or `Threshold(0.01)`. "
                f"Received: selection={self.selection!r}"
            )
        importances.weight_scorer(self.importance)
        if self.regrowth is not None and not isinstance(self.regrowth, Regrowth):
            raise TypeError(f"`regrowth` must be `RigL(...)` or `SET(...)`. Received: regrowth={self.regrowth!r}")
        if self.regrowth is not None and not isinstance(self.selection, Percentile):
            raise ValueError(
                "Weights grow one by one, which breaks blocks and N:M patterns, and thresholds would prune them again: "
                f"`regrowth` needs `Percentile`. Received: selection={self.selection!r}"
            )
        if isinstance(self.targets, str):
            self._read_word(self.targets)
        if not isinstance(self.targets, Mapping):
            raise TypeError(
                '`targets` must map layer name patterns to a sparsity, "erk" or None; or be "uniform" or "erk". '
                f"Received: targets={self.targets!r}"
            )
        for pattern, target in self.targets.items():
            if not isinstance(pattern, str):
                raise TypeError(f"The keys of `targets` must be layer name patterns. Received: {pattern!r}")
            if target is None:
                continue
            self.refuse_sparsity(f"targets[{pattern!r}]={target!r}")
            if target == "erk":
                self._refuse_global(f"targets[{pattern!r}]={target!r}")
            else:
                self.check_reachable(check_sparsity(target, f"targets[{pattern!r}]"), f"targets[{pattern!r}]")

    def _read_word(self, word: str) -> None:
        """Puts one word for all layers into the form of a mapping."""
        if word not in ("uniform", "erk"):
            hint = 'To rank the weights of all layers together, pass `selection=Percentile("global")`. '
            raise ValueError(
                '`targets` must be "uniform" or "erk", or map layer name patterns to a sparsity. '
                f"{hint if word == 'global' else ''}Received: targets={word!r}"
            )
        object.__setattr__(self, "targets", {"*": "erk"} if word == "erk" else {})

    def _refuse_global(self, received: str) -> None:
        if isinstance(self.selection, Percentile) and self.selection.scope == "global":
            raise ValueError(
                'Layers get either a sparsity by their shape ("erk") or one by their scores ("global"). '
                f"Received: {received} with selection={self.selection!r}"
            )

    @property
    def needs_data(self) -> bool:
        """Whether the criterion or the regrowth is measured on data."""
        return importances.needs_data(self.importance) or (self.regrowth is not None and self.regrowth.needs_data)

    def weights_of(self, model: keras.Model, user: str) -> list[MaskedWeight]:
        """The masked weights of a model that `user`, a callback, is to prune by this rule.

        Raises:
            ValueError: There are none, a target names none of their layers, or one cannot be pruned so.
        """
        weights = find_masked(model)
        if not weights and not model.built:
            raise ValueError(
                f"{user} needs a model with weights: call the model on data, or `build`, before `fit`. "
                f"Received: the unbuilt model '{model.name}'"
            )
        if not weights:
            raise ValueError(
                f"{user} needs a model with masks: train the model that `wrap_pruning(model)` returns. "
                f"Received: the model '{model.name}', which has none"
            )
        self.check(list(dict.fromkeys(weight.layer for weight in weights)))
        self.check_weights(weights)
        return weights

    def check_data(self, data: Any) -> None:
        """Raises a `ValueError` if the rule needs data and there are none."""
        if self.needs_data and data is None:
            raise ValueError(
                f"This importance is measured on data: pass `data`. Received: importance={self.importance!r}, data=None"
            )

    def check(self, paths: Sequence[str]) -> None:
        """Raises a `ValueError` if a target names none of these layers."""
        assert isinstance(self.targets, Mapping)
        check_patterns(self.targets, paths, "targets")

    def check_weights(self, weights: Sequence[MaskedWeight]) -> None:
        """Raises a `ValueError` if a weight that the rule prunes cannot be pruned so, or all of them are frozen."""
        if weights and not self.prune_frozen and not any(weight.weight.trainable for weight in weights):
            raise ValueError(
                "All weights with masks are frozen (trainable=False), and frozen weights are not pruned: pass "
                f"`prune_frozen=True` to prune them. Received: {len(weights)} weights, prune_frozen=False"
            )
        for group in self.groups(weights).values():
            for weight in group:
                self.selection.check_weight(weight.path, tuple(weight.weight.shape), weight.axes)
                if self.importance == "movement" and weight.movement is None:
                    raise ValueError(
                        "The movement of weights is added up in training: `wrap_pruning(model, movement=True)`. "
                        f"Received: the weight '{weight.path}' without movement"
                    )

    def refuse_sparsity(self, received: str) -> None:
        """Raises a `ValueError` if the selection decides itself how much is pruned."""
        if not self.selection.needs_sparsity:
            raise ValueError(
                f"{type(self.selection).__name__} decides itself how much is pruned and takes no sparsity; its own "
                f"value may be a schedule. Received: {received} with selection={self.selection!r}"
            )

    def check_reachable(self, sparsity: float, name: str) -> None:
        """Raises a `ValueError` if the selection cannot prune so much."""
        most = self.selection.max_sparsity
        if most is not None and sparsity > most + 1e-9:
            raise ValueError(f"{self.selection!r} prunes {most:.4g} at most. Received: {name}={sparsity!r}")

    def groups(self, weights: Sequence[MaskedWeight]) -> dict[Target, list[MaskedWeight]]:
        """The weights to prune, by their own target, or under None those that follow the common one."""
        assert isinstance(self.targets, Mapping)
        groups: dict[Target, list[MaskedWeight]] = {}
        for weight in weights:
            own = [target for pattern, target in self.targets.items() if matches(pattern, weight.layer)][:1]
            if own == [None] or not (weight.weight.trainable or self.prune_frozen):
                continue
            groups.setdefault(own[0] if own else None, []).append(weight)
        return groups

    def goals(self, target: Target, group: Sequence[MaskedWeight], sparsity: float) -> list[float]:
        """The sparsity of the group as one number, or a number for each of its weights."""
        self.check_reachable(sparsity, "sparsity")
        if target != "erk":
            return [sparsity]
        goals = erk([_sizes(weight) for weight in group], sparsity)
        most = self.selection.max_sparsity
        return goals if most is None else list(np.minimum(goals, most))


def _sizes(weight: MaskedWeight) -> tuple[int, ...]:
    """Outputs, inputs, and the sizes of the window: what ERK adds up and multiplies."""
    shape, axes = tuple(weight.weight.shape), weight.axes
    window = [shape[axis] for axis in axes.window]
    parts = [int(np.prod([shape[axis] for axis in part])) for part in (axes.inputs, axes.outputs)]
    return (*parts, *window)
