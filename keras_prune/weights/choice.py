"""Masks that are chosen while layers are reconstructed: how a rule is applied to one weight after the other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_prune.costs.budget import Budget
from keras_prune.masking.masked_weights import MaskedWeight
from keras_prune.patterns import check_patterns, matches
from keras_prune.reconstruction.masks.choice import Choose
from keras_prune.reconstruction.views.linear_view import LinearView
from keras_prune.selection import Candidate, Percentile, Selection
from keras_prune.weights.rule import PruningRule
from keras_prune.weights.update import Goal


class Choice(NamedTuple):
    """How the mask of a weight is chosen.

    Args:
        before: The mask that it starts from, in the shape of the weight.
        selection: How scores become masks.
        goal: The sparsity of the weight.
    """

    before: np.ndarray
    selection: Selection
    goal: float

    def chooser(self, weight: MaskedWeight, view: LinearView) -> Choose:
        """The function that a reconstruction asks."""

        def choose(scores: np.ndarray, kept: np.ndarray, part: float) -> np.ndarray:
            values = view.weights(scores)
            candidate = Candidate(values, lambda _: values, view.weights(kept), weight.axes, path=weight.path)
            # The same fraction of what is left in each round: where most is at stake, the fewest are removed at a time.
            sparsity = self.goal if part >= 1 else 1 - (1 - self.goal) ** part
            (mask,) = self.selection.select([lambda: candidate], sparsity, 0)
            return view.matrices(mask)

        return choose


def chosen_by_error(importance: Any, selection: Any, reconstruct: Any) -> bool:
    """Whether masks are chosen by the error of the outputs: on request, or by default where that is possible.

    Raises:
        ValueError: It was asked for and is not possible.
    """
    possible = reconstruct is not None and getattr(selection, "needs_sparsity", True)
    if not (isinstance(importance, str) and importance == "reconstruction"):
        return importance is None and possible
    if not possible:
        raise ValueError(
            '`importance="reconstruction"` needs data, `reconstruct=x`, and a selection that takes a sparsity, such as '
            f"`Percentile()`. Received: reconstruct={'None' if reconstruct is None else '...'}, selection={selection!r}"
        )
    return True


def check_counted(budget: Any) -> None:
    """Raises an error if a budget is none, or of what zeros do not change or only a file shows."""
    if not isinstance(budget, Budget):
        raise TypeError(f"`budget` must be a Budget, such as `Budget(macs=0.5)`. Received: budget={budget!r}")
    if budget.measured:
        raise ValueError(
            "Zeros are counted, no file is exported: a budget of weights is of `macs`, `params` or `weight_bytes`, or "
            f"several of them. Received: budget={budget!r}"
        )


def check_budget(budget: Any, sparsity: Any, targets: Any) -> None:
    """Raises an error if a budget cannot be distributed, or not beside the other arguments of `prune_weights`."""
    check_counted(budget)
    if sparsity is not None:
        raise ValueError(f"Pass a sparsity or a budget, not both. Received: sparsity={sparsity!r}, budget={budget!r}")
    values = targets.values() if isinstance(targets, Mapping) else [targets]
    if not all(value is None or (isinstance(value, str) and value == "reconstruction") for value in values):
        raise ValueError(
            'A budget is distributed among the layers by their errors, `targets="reconstruction"`; `targets` may only '
            f'name layers that are not pruned, `{{"conv1": None}}`. Received: targets={targets!r}, budget={budget!r}'
        )


def distributed(targets: Any, budget: Any, paths: Sequence[str]) -> tuple[Any, list[str]]:
    """The targets without those that are distributed by the errors of layers, and the layers that those are.

    Args:
        targets: As `prune_weights` takes them.
        budget: Likewise. All layers without a target share it.
        paths: Of the layers that can be pruned.
    """
    if not isinstance(targets, Mapping):
        asked = budget is not None or (isinstance(targets, str) and targets == "reconstruction")
        return (None, list(paths)) if asked else (targets, [])
    if not all(isinstance(pattern, str) for pattern in targets):
        return targets, []  # which a rule refuses
    check_patterns(targets, paths, "targets")
    by_error = [pattern for pattern, value in targets.items() if isinstance(value, str) and value == "reconstruction"]
    found = []
    for path in paths:
        first = next((pattern for pattern in targets if matches(pattern, path)), None)
        if first in by_error or (first is None and budget is not None):
            found.append(path)
    return {pattern: value for pattern, value in targets.items() if pattern not in by_error}, found


def check_distributable(selection: Any, reconstruct: Any, asked: str) -> None:
    """Raises a `ValueError` if a sparsity or a budget cannot be distributed among layers by their errors.

    Args:
        selection: The selection, None for the default.
        reconstruct: The data, None if there are none.
        asked: The argument that asks for it: `"targets"` or `"budget"`.
    """
    asks = 'targets="reconstruction"' if asked == "targets" else "budget=..."
    if reconstruct is None or not getattr(selection, "needs_sparsity", True):
        raise ValueError(
            f"`{asks}` needs data, `reconstruct=x`, and a selection that takes a sparsity, such as `Percentile()`. "
            f"Received: reconstruct={'None' if reconstruct is None else '...'}, selection={selection!r}"
        )
    if isinstance(selection, Percentile) and selection.scope == "global":
        raise ValueError(
            'Layers get either a sparsity by their errors ("reconstruction") or one by their scores ("global"). '
            f"Received: {asks} with selection={selection!r}"
        )


def choosers(
    rule: PruningRule, weights: Sequence[MaskedWeight], final: Goal, before: Mapping[int, np.ndarray]
) -> dict[int, Choice]:
    """How the mask of each weight is chosen, by the `id` of the mask.

    Args:
        rule: The rule, by which masks have been chosen by magnitude already. Where it ranks the weights of all layers
            together, each layer keeps as many of its weights as it has now.
        weights: The masked weights of a model.
        final: Function of a layer's own sparsity, or None, that gives the target.
        before: The masks before that, by the `id` of the mask.
    """
    found = {}
    for weight, goal in _goals(rule, weights, final):
        selection = rule.selection
        if isinstance(selection, Percentile) and selection.scope == "global":
            kept = int(np.count_nonzero(weight.kept()))
            if not kept:  # pruned as a whole, which a sparsity below 1 does not say
                continue
            selection, goal = Percentile(), 1 - kept / weight.size
        found[id(weight.mask)] = Choice(before[id(weight.mask)], selection, goal)
    return found


def _goals(rule: PruningRule, weights: Sequence[MaskedWeight], final: Goal) -> Iterator[tuple[MaskedWeight, float]]:
    for target, group in rule.groups(weights).items():
        goals = rule.goals(target, group, final(None if target == "erk" else target))
        yield from zip(group, goals if len(goals) == len(group) else goals * len(group), strict=True)
