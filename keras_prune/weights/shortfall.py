"""What masks prune less than was asked for, or more is kept than a budget allows."""

from collections.abc import Sequence

import numpy as np

from keras_prune.costs.budget import Budget
from keras_prune.masking.masked_weights import MaskedWeight
from keras_prune.reporting.unmet import less_than_asked, short_list
from keras_prune.weights.layer_errors import LayerErrors
from keras_prune.weights.rule import PruningRule
from keras_prune.weights.update import Goal

_ROUNDING = 0.02  # of the target: blocks and groups at the end of an axis are smaller, or incomplete


def shortfall(weights: Sequence[MaskedWeight], rule: PruningRule, sparsity: Goal) -> str:
    """A sentence that says how much less the masks prune than the rule asks for; empty if they prune as much.

    Only whole weights (or blocks) are pruned, and one of each array is always kept: so much may be missing.

    Args:
        weights: The masked weights of a model.
        rule: How the masks were chosen.
        sparsity: Function of a layer's own final sparsity, or None for layers without one, that gives the target.
    """
    groups = rule.groups(weights)
    kept = {id(weight): int(np.count_nonzero(weight.kept())) for group in groups.values() for weight in group}
    if not rule.selection.needs_sparsity:
        every = [weight for group in groups.values() for weight in group]
        if not every or rule.selection.is_off or any(kept[id(weight)] < weight.size for weight in every):
            return ""
        return (
            f"Nothing was pruned: {rule.selection!r} keeps every weight. Thresholds are in the units of the scores, "
            "which are the absolute values of the weights by default: choose a higher one."
        )
    for target, group in groups.items():
        asked = sparsity(None if target == "erk" else target)
        size = sum(weight.size for weight in group)
        pruned = size - sum(kept[id(weight)] for weight in group)
        if pruned < asked * size * (1 - _ROUNDING) - len(group) * (1 + 1e-9):
            low = [weight.path for weight in group if weight.size - kept[id(weight)] < asked * weight.size - 1]
            return less_than_asked(
                asked,
                pruned / size,
                f"the weights of {len(group)} arrays",
                f"{rule.selection!r} prunes no more of {short_list(low)}.",
            )
    return ""


def over_budget(errors: LayerErrors, budget: Budget, weights: Sequence[MaskedWeight]) -> str:
    """A sentence that says what of a budget is exceeded; empty if nothing is.

    Args:
        errors: What the budget was distributed by.
        budget: The budget.
        weights: The masked weights of the model.
    """
    kept: dict[str, int] = {}
    for weight in weights:
        kept[weight.layer] = kept.get(weight.layer, 0) + int(np.count_nonzero(weight.kept()))
    over = errors.over(budget, kept)
    if not over:
        return ""
    reached = ", ".join(f"{name}={count:,}" for name, count in over.items())
    return (
        f"The budget is exceeded: the model has {reached}, for blocks at the end of an axis are smaller than others "
        f"and count as much. Pass a smaller budget, or smaller blocks. Received: {budget}"
    )
