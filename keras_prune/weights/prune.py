"""`prune_weights`: one-shot pruning of a trained model."""

from typing import Any, Literal

import keras

from keras_prune.costs.budget import Budget
from keras_prune.importance import Importance
from keras_prune.masking.masked_weights import apply_masks, find_masked
from keras_prune.masking.unpruned import decide
from keras_prune.masking.wrapping import add_masks, prunable_paths, remove_masks
from keras_prune.measurement.weight_statistics import ModelStatistics
from keras_prune.patterns import exact_pattern
from keras_prune.reporting.unmet import say
from keras_prune.selection import Selection
from keras_prune.validation import check_flag, check_sparsity
from keras_prune.weights.choice import check_budget, check_distributable, choosers, chosen_by_error, distributed
from keras_prune.weights.measure_errors import layer_errors
from keras_prune.weights.reconstruct import Reconstruction, original_of, unchanged
from keras_prune.weights.rule import PruningRule, Targets
from keras_prune.weights.shortfall import over_budget, shortfall
from keras_prune.weights.update import update_masks


def prune_weights(
    model: keras.Model,
    sparsity: float | None = None,
    *,
    budget: Budget | None = None,
    selection: Selection | None = None,
    importance: str | Importance | None = None,
    targets: Targets | Literal["reconstruction"] | None = None,
    prune_frozen: bool = False,
    data: Any = None,
    loss: Any = None,
    reconstruct: Any = None,
    recalibrate: bool = False,
) -> keras.Model:
    """Prune the weights of a trained model in one shot: masks are chosen once, without training.

    The masks hold while the result is fine-tuned. `strip_pruning` removes them again. Warns if less is pruned than was
    asked for: a threshold below all weights, or blocks that are too coarse for small layers.

    With `reconstruct`, what is kept takes over what is pruned: layer by layer, with inputs from the layers that are
    pruned already, the kept weights and the bias are those whose outputs come closest to the original ones (Frantar and
    Alistarh 2022, "Optimal brain compression"; 2023, "SparseGPT"). Without labels and without training, this saves most
    of the accuracy that one-shot pruning loses. Layers whose weights do not multiply their inputs, such as `Embedding`,
    are pruned by magnitude and not refitted; a warning names them, and layers that read too few rows of data.

    Args:
        model: A built model, with masks or without. As in `wrap_pruning` a copy is returned and the model is left
            unchanged, except that a subclassed model is changed in place.
        sparsity: Fraction of the weights to prune, in [0, 1). Defaults to None: for a threshold selection, which
            decides itself how much is pruned, for `NByM`, which has a sparsity of its own, and with a budget.
        budget: With `reconstruct`: what the model may cost instead, zeros not counted, such as `Budget(macs=0.3)`:
            `macs` with weights that are not zero (`cost(model).effective_macs`), `params` that are not zero, or their
            `weight_bytes`, without those of their places in the arrays. Each layer gets the sparsity for which the
            errors of all are least, see `targets`, which may leave layers out: `{"conv1": None}`. Layers that are not
            refitted are not pruned. Defaults to None.
        selection: How scores become masks. Defaults to `Percentile()`.
        importance: Importance criterion: a name of the table in `PruningSchedule`, or a deterministic function
            `weight -> scores`, or `(weight, statistics) -> scores`, of NumPy arrays, higher = keep. With `reconstruct`
            also `"reconstruction"`: how much the error of the layer's outputs rises without a weight once the others
            have taken over. Defaults to None: `"magnitude"`, or `"reconstruction"` where there are data for it and the
            selection takes a sparsity.
        targets: Per-layer sparsity, as in `PruningSchedule`: `"uniform"`, `"erk"`, or the sparsity of single layers by
            name pattern, or None for layers that are not pruned: `{"conv*": 0.5}`. With `reconstruct` also
            `"reconstruction"`, for all layers or in a pattern: the sparsities for which the errors that remain in these
            layers are least, see `layer_errors`. Defaults to `"uniform"`, with a budget to `"reconstruction"`.
        prune_frozen: Whether weights that are not trainable are pruned too. Defaults to False.
        data: Data for criteria that need them: `x`, `(x, y)`, or batches of them, as `fit` takes them. A few hundred
            samples are enough; `"taylor"` and `"fisher"` gain from a few thousand. Defaults to None: those of
            `reconstruct`, if there are any.
        loss: Loss for criteria that need one, as `compile` takes it. Defaults to the one that the model was compiled
            with.
        reconstruct: Data to refit the kept weights on, in the same forms; targets are not needed. Some 1,000 samples
            are enough for most models. Defaults to None: weights keep their values.
        recalibrate: With `reconstruct`: whether the statistics of BatchNormalization layers are estimated again on the
            same data, as in `prune_channels`. On a ResNet-8 that gained over a point at moderate sparsity (2:4, or 70%
            by the errors of the layers), as it does on the model that is not pruned, and lost three at 85%. Defaults to
            False.

    Returns:
        The model with masks, as from `wrap_pruning`.

    Raises:
        ValueError: A sparsity outside [0, 1), missing or above what the selection can reach, an unknown importance or
            layer pattern, no data or loss for an importance that needs them, data that do not fit, weights or
            scores that are NaN or infinite, an unbuilt model, a model in which nothing can be pruned, or
            `"reconstruction"` without `reconstruct` or with a selection that takes no sparsity; a budget beside a
            sparsity or other targets, of what only a file shows, or that cannot be met (the message says what can).
        TypeError: An argument of another type.

    Example:

    ```python
    pruned = prune_weights(model, 0.8, targets={"output": None})
    print(summary(pruned))
    pruned = prune_weights(model, 0.8, targets="erk", importance="taylor", data=(x, y), loss="mse")
    pruned = prune_weights(model, 0.8, targets="erk", reconstruct=x)
    pruned = prune_weights(model, 0.8, targets="reconstruction", reconstruct=x)
    pruned = prune_weights(model, budget=Budget(macs=0.3), reconstruct=x)
    ```
    """
    check_flag(recalibrate, "recalibrate")
    by_error = chosen_by_error(importance, selection, reconstruct)
    if budget is not None:
        check_budget(budget, sparsity, targets)
    paths = prunable_paths(model)
    rest, shared = distributed(targets, budget, paths)
    if shared or budget is not None:
        check_distributable(selection, reconstruct, "targets" if budget is None else "budget")
    importance = "magnitude" if by_error or importance is None else importance
    data = reconstruct if data is None else data
    rule = PruningRule.of(selection, importance, rest, prune_frozen)
    if rule.selection.schedule is not None:
        raise ValueError(
            "Without training there is no step that a threshold could follow: it must be a number. "
            f"Received: selection={selection!r}"
        )
    goal = 0.0
    if sparsity is not None:
        rule.refuse_sparsity(f"sparsity={sparsity!r}")
    if rule.selection.needs_sparsity and budget is None:
        default = rule.selection.default_sparsity
        goal = check_sparsity(default if sparsity is None and default is not None else sparsity, "sparsity")
        rule.check_reachable(goal, "sparsity")
    rule.check(paths)
    rule.check_data(data)
    errors = None
    if shared or budget is not None:
        names = [exact_pattern(path, paths) for path in shared]
        errors = layer_errors(model, reconstruct, layers=names, selection=rule.selection, prune_frozen=prune_frozen)
        shares = errors.targets(goal) if budget is None else errors.targets(budget=budget)
        rule = PruningRule.of(selection, importance, shares | dict(rest or {}), prune_frozen)
    has_masks = bool(find_masked(model))

    def final(own: float | None) -> float:
        return goal if own is None else own

    pruned = add_masks(model, layers=(lambda layer: False) if has_masks else None)
    weights = find_masked(pruned)
    undo = unchanged([pruned]) if pruned is model and reconstruct is not None else None
    try:
        rule.check_weights(weights)
        statistics = ModelStatistics(pruned, data, loss, compiled=model)
        if reconstruct is None:
            update_masks(weights, rule, final, statistics=statistics)
        else:
            reconstruction = Reconstruction(pruned, original_of(pruned, model), reconstruct)
            before = {id(weight.mask): weight.kept() for weight in weights}
            counts = update_masks(weights, rule, final, statistics=statistics)
            choices = choosers(rule, weights, final, before) if by_error else {}
            reconstruction.run(counts, choices)
            if recalibrate:
                reconstruction.recalibrate()
    except Exception:
        if undo is not None:
            undo()
        if pruned is model and not has_masks:  # a subclassed model, which got masks in place
            remove_masks(model)
        raise
    apply_masks(pruned)  # minus zeros become zeros
    decide(pruned)
    exceeded = "" if errors is None or budget is None else over_budget(errors, budget, weights)
    say(exceeded or shortfall(weights, rule, final))
    return pruned
