"""`prune_weights`: a trained model, pruned at once."""

from typing import Any

import keras

from keras_prune.importance import Importance
from keras_prune.masking.masked_weights import apply_masks, find_masked
from keras_prune.masking.wrapping import prunable_paths, strip_pruning, wrap_pruning
from keras_prune.measurement.weight_statistics import ModelStatistics
from keras_prune.selection import Percentile, Selection
from keras_prune.validation import check_sparsity
from keras_prune.weights.rule import PruningRule, Targets
from keras_prune.weights.update import update_masks


def prune_weights(
    model: keras.Model,
    sparsity: float | None = None,
    *,
    selection: Selection | None = None,
    importance: str | Importance = "magnitude",
    targets: Targets | None = None,
    prune_frozen: bool = False,
    data: Any = None,
    loss: Any = None,
) -> keras.Model:
    """Prunes a trained model at once, without training: the engine of `PruningSchedule`, run a single time.

    The result can be trained further: its masks hold. `strip_pruning` makes it plain again.

    Args:
        model: A built model, with masks or without. Like in `wrap_pruning` it stays as it is and a copy is returned,
            but a subclassed model is changed in place.
        sparsity: Fraction of the weights to prune, in [0, 1). None with a threshold selection, which decides itself,
            and with `NByM`, which has a sparsity of its own.
        selection: How scores become masks. Default: `Percentile()`.
        importance: How much each weight matters: a name of the table in `PruningSchedule`, or a function
            `weight -> scores`, or `(weight, statistics) -> scores`, of NumPy arrays, higher = keep, the same each time.
        targets: As in `PruningSchedule`: `"uniform"`, `"erk"`, or the sparsity of single layers by name pattern, or
            None for those to leave alone: `{"conv*": 0.5}`.
        prune_frozen: Whether weights that are not trainable are pruned too.
        data: What an importance is measured on: `x`, `(x, y)`, or batches of them, as `fit` takes them. A few hundred
            samples are enough; `"taylor"` and `"fisher"` of single weights gain from a few thousand.
        loss: The loss of an importance that needs one, as `compile` takes it. Default: the one that the model was
            compiled with.

    Returns:
        The model with masks, as from `wrap_pruning`.

    Raises:
        ValueError: A sparsity outside [0, 1), missing or above what the selection can reach, an unknown importance or
            layer pattern, no data or loss for an importance that needs them, data that do not fit, an unbuilt model,
            or a model in which nothing can be pruned.
        TypeError: An argument of another type.

    Example:

    ```python
    pruned = prune_weights(model, 0.8, targets={"output": None})
    print(summary(pruned))
    pruned = prune_weights(model, 0.8, targets="erk", importance="taylor", data=(x, y), loss="mse")
    ```
    """
    rule = PruningRule(selection or Percentile(), importance, targets or {}, prune_frozen)
    if rule.selection.schedule is not None:
        raise ValueError(
            "Without training there is no step that a threshold could follow: it must be a number. "
            f"Received: selection={selection!r}"
        )
    goal = 0.0
    if sparsity is not None:
        rule.refuse_sparsity(f"sparsity={sparsity!r}")
    if rule.selection.needs_sparsity:
        default = rule.selection.default_sparsity
        goal = check_sparsity(default if sparsity is None and default is not None else sparsity, "sparsity")
        rule.check_reachable(goal, "sparsity")
    rule.check(prunable_paths(model))
    rule.check_data(data)
    has_masks = bool(find_masked(model))
    pruned = wrap_pruning(model, layers=(lambda layer: False) if has_masks else None)
    weights = find_masked(pruned)
    try:
        rule.check_weights(weights)
        statistics = ModelStatistics(pruned, data, loss, compiled=model)
        update_masks(weights, rule, lambda own: goal if own is None else own, statistics=statistics)
    except Exception:
        if pruned is model and not has_masks:  # a subclassed model, which got masks in place
            strip_pruning(model)
        raise
    apply_masks(pruned)  # minus zeros become zeros
    return pruned
