"""`prune_weights`: one-shot pruning of a trained model."""

from typing import Any

import keras

from keras_prune.importance import Importance
from keras_prune.masking.masked_weights import apply_masks, find_masked
from keras_prune.masking.unpruned import decide
from keras_prune.masking.wrapping import add_masks, prunable_paths, remove_masks
from keras_prune.measurement.weight_statistics import ModelStatistics
from keras_prune.reporting.unmet import say
from keras_prune.selection import Selection
from keras_prune.validation import check_sparsity
from keras_prune.weights.rule import PruningRule, Targets
from keras_prune.weights.shortfall import shortfall
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
    """Prune the weights of a trained model in one shot: masks are chosen once, without training.

    The masks hold while the result is fine-tuned. `strip_pruning` removes them again. Warns if less is pruned than was
    asked for: a threshold below all weights, or blocks that are too coarse for small layers.

    Args:
        model: A built model, with masks or without. As in `wrap_pruning` a copy is returned and the model is left
            unchanged, except that a subclassed model is changed in place.
        sparsity: Fraction of the weights to prune, in [0, 1). Defaults to None: for a threshold selection, which
            decides itself how much is pruned, and for `NByM`, which has a sparsity of its own.
        selection: How scores become masks. Defaults to `Percentile()`.
        importance: Importance criterion: a name of the table in `PruningSchedule`, or a deterministic function
            `weight -> scores`, or `(weight, statistics) -> scores`, of NumPy arrays, higher = keep. Defaults to
            `"magnitude"`.
        targets: Per-layer sparsity, as in `PruningSchedule`: `"uniform"`, `"erk"`, or the sparsity of single layers by
            name pattern, or None for layers that are not pruned: `{"conv*": 0.5}`. Defaults to `"uniform"`.
        prune_frozen: Whether weights that are not trainable are pruned too. Defaults to False.
        data: Data for criteria that need them: `x`, `(x, y)`, or batches of them, as `fit` takes them. A few hundred
            samples are enough; `"taylor"` and `"fisher"` gain from a few thousand. Defaults to None.
        loss: Loss for criteria that need one, as `compile` takes it. Defaults to the one that the model was compiled
            with.

    Returns:
        The model with masks, as from `wrap_pruning`.

    Raises:
        ValueError: A sparsity outside [0, 1), missing or above what the selection can reach, an unknown importance or
            layer pattern, no data or loss for an importance that needs them, data that do not fit, weights or
            scores that are NaN or infinite, an unbuilt model, or a model in which nothing can be pruned.
        TypeError: An argument of another type.

    Example:

    ```python
    pruned = prune_weights(model, 0.8, targets={"output": None})
    print(summary(pruned))
    pruned = prune_weights(model, 0.8, targets="erk", importance="taylor", data=(x, y), loss="mse")
    ```
    """
    rule = PruningRule.of(selection, importance, targets, prune_frozen)
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

    def final(own: float | None) -> float:
        return goal if own is None else own

    pruned = add_masks(model, layers=(lambda layer: False) if has_masks else None)
    weights = find_masked(pruned)
    try:
        rule.check_weights(weights)
        statistics = ModelStatistics(pruned, data, loss, compiled=model)
        update_masks(weights, rule, final, statistics=statistics)
    except Exception:
        if pruned is model and not has_masks:  # a subclassed model, which got masks in place
            remove_masks(model)
        raise
    apply_masks(pruned)  # minus zeros become zeros
    decide(pruned)
    say(shortfall(weights, rule, final))
    return pruned
