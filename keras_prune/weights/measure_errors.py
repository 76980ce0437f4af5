"""`layer_errors`: how much the outputs of each layer change when it alone is pruned and reconstructed."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.masking.masked_weights import find_masked, inner_layer, walk_layers
from keras_prune.masking.wrapping import add_masks, prunable_paths
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.measurement.measured_file import MeasuredFile
from keras_prune.patterns import as_predicate
from keras_prune.reconstruction.masks.removal import remove
from keras_prune.reporting.progress import track
from keras_prune.selection import Block, Percentile, Selection
from keras_prune.validation import check_path
from keras_prune.weights.choice import Choice
from keras_prune.weights.layer_errors import LayerCurve, LayerErrors
from keras_prune.weights.masked_costs import costs_of_masked
from keras_prune.weights.reconstruct import Reconstruction, Refitted

SPARSITIES = (0.0, *(1 - 0.8 ** np.arange(1, 21)))


def layer_errors(
    model: keras.Model,
    data: Any,
    *,
    layers: Any = None,
    selection: Selection | None = None,
    prune_frozen: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> LayerErrors:
    """Measure how much the outputs of each layer change when it alone is pruned and reconstructed.

    Nothing is trained and no label is needed. `prune_weights(model, sparsity, targets="reconstruction", reconstruct=x)`
    measures the same, and uses it at once; measured beforehand it serves for several sparsities or budgets.

    Args:
        model: A built model, with masks or without. It is only read.
        data: Data, in the forms that `prune_weights` takes; targets are not needed.
        layers: Which layers are measured, as in `wrap_pruning`: `"conv*"`. Defaults to None: all.
        selection: How scores become masks; it must take a sparsity. Defaults to `Percentile()`.
        prune_frozen: Whether weights that are not trainable are measured too. Defaults to False.
        cache: JSON file to which the errors of each weight are written as soon as they are measured: an interrupted
            measurement continues from it, and a repeated one takes what is there. It holds a fingerprint of the model,
            the data and the selection. Defaults to None: no file.

    Returns:
        A `LayerErrors`. Print it for a table; `plot()` draws it, `targets(sparsity)` distributes a sparsity, and
        `targets(budget=Budget(macs=0.3))` a budget.

    Raises:
        ValueError: A selection that takes no sparsity or does not fit a layer, an unknown layer, data that do not fit,
            a model in which nothing can be refitted, or a `cache` that belongs to other measurements or lies in no
            folder.
        TypeError: An argument of another type.

    Example:

    ```python
    errors = layer_errors(model, x)
    print(errors)
    pruned = prune_weights(model, 0.8, targets=errors.targets(0.8), reconstruct=x)
    fewer = prune_weights(model, 0.0, targets=errors.targets(budget=Budget(macs=0.3)), reconstruct=x)
    ```
    """
    selection = Percentile() if selection is None else selection
    if not isinstance(selection, Selection):
        raise TypeError(f"`selection` must be a Selection, such as `Percentile()`. Received: selection={selection!r}")
    if not selection.needs_sparsity:
        raise ValueError(f"Errors are measured at sparsities, which it must take. Received: selection={selection!r}")
    if isinstance(selection, Percentile):
        selection = Percentile()  # of one layer at a time
    wanted = as_predicate(layers, prunable_paths(model))
    masked = add_masks(model if _keras.is_graph(model) else copy_to_measure(model)[0], _nothing_more(model))
    reconstruction = Reconstruction(masked, masked, data)
    own = {path: inner_layer(layer) for path, layer in walk_layers(model)}
    chosen = [
        each
        for each in reconstruction.weights
        if (each.weight.weight.trainable or prune_frozen) and wanted(each.weight.layer, own[each.weight.layer])
    ]
    if not chosen:
        raise ValueError(
            "The model has no weights that can be refitted: none that are trainable and multiply the inputs of their "
            f"layer. Received: the model '{model.name}', layers={layers!r}"
        )
    for each in chosen:
        selection.check_weight(each.weight.path, tuple(each.weight.weight.shape), each.weight.axes)
    most = selection.max_sparsity
    sparsities = tuple(float(each) for each in SPARSITIES if most is None or each < most)
    sparsities += () if most is None else (float(most),)
    file = None
    if cache is not None:
        inputs = ((x,) for x, *_ in Batches(data, model, with_targets=False))
        file = MeasuredFile.of(check_path(cache, "cache"), model, inputs, {"selection": repr(selection)})
    found: dict[str, list[tuple[Refitted, Sequence[float]]]] = {}
    for each in track(chosen, len(chosen), "Layer errors"):
        errors = _known(file, each.weight.path, sparsities)
        if errors is None:
            errors = _curve(reconstruction, each, selection, sparsities)
            if file is not None:
                file.values.update(zip(_keys(each.weight.path, sparsities), errors, strict=True))
                file.write()
        found.setdefault(each.weight.layer, []).append((each, errors))
    costs, parts = costs_of_masked(model, masked)
    known = costs.whole["macs"] is not None
    curves = [
        _layer_curve(layer, weights, [parts[id(each.weight.mask)] for each, _ in weights], known, _grain(selection))
        for layer, weights in found.items()
    ]
    return LayerErrors(model.name, sparsities, tuple(curves), costs.whole, costs.unknown)


def _layer_curve(
    layer: str,
    weights: Sequence[tuple[Refitted, Sequence[float]]],
    costs: Sequence[Mapping[str, int]],
    known: bool,
    grain: int,
) -> LayerCurve:
    """The errors and costs of a layer from those of its weights."""
    return LayerCurve(
        layer,
        sum(each.weight.size for each, _ in weights),
        tuple(float(each) for each in np.sum([errors for _, errors in weights], axis=0)),
        sum(each["macs"] for each in costs) if known else None,
        sum(each["weight_bytes"] for each in costs),
        sum(min(grain, each.weight.size) for each, _ in weights),
    )


def _keys(path: str, sparsities: Sequence[float]) -> list[tuple[str, float]]:
    return [(path, sparsity) for sparsity in sparsities]


def _known(file: MeasuredFile | None, path: str, sparsities: Sequence[float]) -> list[float] | None:
    """The errors of a weight that a file holds; None if it does not hold all of them."""
    found = [] if file is None else [file.values.get(key) for key in _keys(path, sparsities)]
    known = [each for each in found if each is not None]
    wrong = [each for each in known if not 0 <= each < math.inf]
    if wrong:
        raise ValueError(f"The cache holds no errors of layers. Received: cache='{file}' with {wrong[0]} for '{path}'")
    return known if len(known) == len(sparsities) else None


def _grain(selection: Selection) -> int:
    """How many weights of an array are kept or pruned together."""
    return math.prod(selection.shape) if isinstance(selection, Block) else 1


def _nothing_more(model: keras.Model) -> Any:
    return (lambda layer: False) if find_masked(model) else None


def _curve(
    reconstruction: Reconstruction, each: Refitted, selection: Selection, sparsities: Sequence[float]
) -> list[float]:
    """The errors of a weight, which is pruned more and more."""
    weights = each.view.matrices()
    problem = reconstruction.problem(each, weights)
    kept = each.view.matrices(each.weight.kept())
    errors = []
    before = 0.0
    for sparsity in sparsities:
        between = 1 - np.sqrt((1 - before) * (1 - sparsity))
        for goal in (between, sparsity):
            choice = Choice(each.weight.kept(), selection, goal).chooser(each.weight, each.view)
            kept, weights = remove(problem.damped, kept, choice, weights, rounds=1)
        errors.append(problem.relative_error(weights))
        before = sparsity
    return [float(each) for each in np.maximum.accumulate(errors)]
