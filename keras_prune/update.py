"""The engine: scores -> selection -> masks, for every masked weight of a model.

Used by the callback at each update, and by `prune_once` without any training.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from keras import ops

from keras_prune import importance as importances
from keras_prune import keras_internals
from keras_prune.importance import Importance
from keras_prune.masks import MaskedWeight, apply_masks, find_masked
from keras_prune.patterns import check_patterns, matches
from keras_prune.schedules import check_sparsity
from keras_prune.selection import Candidate, Percentile, Selection
from keras_prune.wrapping import prunable_paths, wrap_pruning

Targets = Mapping[str, float | None]


@dataclasses.dataclass(frozen=True)
class PruningRule:
    """How much of each layer goes, and which weights: what stays the same from one mask update to the next.

    Args:
        selection: How scores become masks.
        importance: Name of an importance, or a function `weight -> scores`.
        targets: For layers with a sparsity of their own, name pattern -> final sparsity; None: the layer is not
            pruned. The first pattern that matches counts.
        prune_frozen: Whether weights that are not trainable are pruned too.

    Raises:
        ValueError: An unknown importance, a target outside [0, 1), or a sparsity for a selection that takes none.
        TypeError: `selection` is no `Selection`, or `targets` no mapping.
    """

    selection: Selection
    importance: str | Importance
    targets: Targets
    prune_frozen: bool

    def __post_init__(self) -> None:
        if not isinstance(self.selection, Selection):
            raise TypeError(
                "`selection` must be a Selection, such as `Percentile()` or `Threshold(0.01)`. "
                f"Received: selection={self.selection!r}"
            )
        importances.get(self.importance)
        if not isinstance(self.targets, Mapping):
            raise TypeError(
                f"`targets` must map layer name patterns to a sparsity or None. Received: targets={self.targets!r}"
            )
        for pattern, target in self.targets.items():
            if target is None:
                continue
            check_sparsity(target, f"targets[{pattern!r}]")
            self.refuse_sparsity(f"targets[{pattern!r}]={target!r}")

    def check(self, paths: Sequence[str]) -> None:
        """Raises a `ValueError` if a target names none of these layers."""
        check_patterns(self.targets, paths, "targets")

    def refuse_sparsity(self, received: str) -> None:
        """Raises a `ValueError` if the selection decides itself how much is pruned."""
        if not self.selection.needs_sparsity:
            raise ValueError(
                f"{type(self.selection).__name__} decides itself how much is pruned and takes no sparsity; its own "
                f"value may be a schedule. Received: {received} with selection={self.selection!r}"
            )

    def groups(self, weights: Sequence[MaskedWeight]) -> dict[float | None, list[MaskedWeight]]:
        """The weights to prune, by their own target, or under None those that follow the common one."""
        groups: dict[float | None, list[MaskedWeight]] = {}
        for weight in weights:
            own = [target for pattern, target in self.targets.items() if matches(pattern, weight.layer)][:1]
            if own == [None] or not (weight.weight.trainable or self.prune_frozen):
                continue
            groups.setdefault(own[0] if own else None, []).append(weight)
        return groups


def update_masks(
    weights: Sequence[MaskedWeight],
    rule: PruningRule,
    sparsity: Callable[[float | None], float],
    step: int = 0,
    optimizer: object = None,
) -> dict[int, int]:
    """Chooses new masks and applies them. What is pruned stays pruned.

    Args:
        weights: The masked weights of a model.
        rule: How to choose.
        sparsity: The target now, for a layer with this final sparsity of its own, or None: without one.
        step: The optimizer step.
        optimizer: Its moving averages of the weights are masked too: they would bring pruned weights back.

    Returns:
        How many entries of each weight are kept now, by the `id` of its mask, for the weights that the rule prunes.

    Raises:
        ValueError: A weight is NaN.
    """
    score = importances.get(rule.importance)
    averages = keras_internals.moving_averages(optimizer) if optimizer is not None else {}
    counts: dict[int, int] = {}
    for target, group in rule.groups(weights).items():
        candidates = [_candidate(weight, score) for weight in group]
        goal = sparsity(target) if rule.selection.needs_sparsity else 0.0
        for weight, kept in zip(group, rule.selection.select(candidates, goal, step), strict=True):
            weight.mask.assign(ops.cast(ops.convert_to_tensor(kept), weight.mask.dtype))
            for variable in (weight.weight, averages.get(id(weight.weight))):
                if variable is not None:
                    variable.assign(ops.multiply(variable.value, weight.mask.value))
            # JAX computes later, and would keep the old values of all weights until then.
            keras_internals.as_numpy(weight.weight)
            counts[id(weight.mask)] = int(np.count_nonzero(kept))
    return counts


def _candidate(weight: MaskedWeight, score: Importance) -> Callable[[], Candidate]:
    def fetch() -> Candidate:
        values = keras_internals.as_numpy(weight.weight)
        if values.dtype not in (np.float32, np.float64):  # half precision: NumPy sorts it slowly or not at all
            values = values.astype(np.float32)
        return Candidate(values, score, weight.kept())

    return fetch


def prune_once(
    model: keras.Model,
    sparsity: float | None = None,
    *,
    selection: Selection | None = None,
    importance: str | Importance = "magnitude",
    targets: Targets | None = None,
    prune_frozen: bool = False,
) -> keras.Model:
    """Prunes a trained model at once, without training: the engine of `PruningSchedule`, run a single time.

    The result can be trained further: its masks hold. `strip_pruning` makes it plain again.

    Args:
        model: A built model, with masks or without. Like in `wrap_pruning` it stays as it is and a copy is returned,
            but a subclassed model is changed in place.
        sparsity: Fraction of the weights to prune, in [0, 1). None with a threshold selection, which decides itself.
        selection: How scores become masks. Default: `Percentile()`.
        importance: `"magnitude"`, or a function `weight -> scores` of NumPy arrays, higher = keep.
        targets: Sparsity of single layers by name pattern, or None for those to leave alone: `{"conv*": 0.5}`.
        prune_frozen: Whether weights that are not trainable are pruned too.

    Returns:
        The model with masks, as from `wrap_pruning`.

    Raises:
        ValueError: A sparsity outside [0, 1) or missing, an unknown importance or layer pattern, an unbuilt model, or
            a model in which nothing can be pruned.
        TypeError: An argument of another type.

    Example:

    ```python
    pruned = prune_once(model, 0.8, targets={"output": None})
    print(summary(pruned))
    ```
    """
    rule = PruningRule(selection or Percentile(), importance, targets or {}, prune_frozen)
    goal = 0.0
    if sparsity is not None:
        rule.refuse_sparsity(f"sparsity={sparsity!r}")
    if rule.selection.needs_sparsity:
        goal = check_sparsity(sparsity, "sparsity")
    rule.check(prunable_paths(model))
    has_masks = bool(find_masked(model))
    model = wrap_pruning(model, layers=(lambda layer: False) if has_masks else None)
    update_masks(find_masked(model), rule, lambda own: goal if own is None else own)
    apply_masks(model)  # minus zeros become zeros
    return model
