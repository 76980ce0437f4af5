"""`LayerErrors`: what pruning costs in each layer, after reconstruction, and the per-layer sparsities that follow."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.masking.masked_weights import find_masked
from keras_prune.masking.wrapping import add_masks, prunable_paths
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.patterns import exact_pattern
from keras_prune.reconstruction.allocation import allocate, spend
from keras_prune.reconstruction.removal import remove
from keras_prune.reporting.progress import track
from keras_prune.selection import Percentile, Selection
from keras_prune.validation import check_sparsity
from keras_prune.weights.choice import Choice
from keras_prune.weights.reconstruct import Reconstruction, Refitted
from tflite_export.reporting import Bars, Report, Shown, Table

SPARSITIES = (0.0, *(1 - 0.8 ** np.arange(1, 21)))
_SHOWN = (2, 3, 5, 7, 10, 13)  # about 0.36, 0.49, 0.67, 0.79, 0.89 and 0.95


@dataclasses.dataclass(frozen=True)
class LayerCurve(Shown):
    """The errors of one layer.

    Args:
        layer: Path of the layer.
        size: Number of its weights that can be refitted.
        errors: For each sparsity the error of its outputs after reconstruction, as a fraction of their variance.
    """

    layer: str
    size: int
    errors: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class LayerErrors(Report):
    """The error of each layer's outputs at each sparsity, as `layer_errors` measured it. Its `str` is a table.

    Args:
        model: Name of the model.
        sparsities: The sparsities, in ascending order; the first is 0.
        curves: The errors of each layer.
    """

    model: str
    sparsities: tuple[float, ...]
    curves: tuple[LayerCurve, ...]

    def targets(self, sparsity: float) -> dict[str, float]:
        """Return the per-layer sparsity for which the sum of the errors is least, for `targets=` of `prune_weights`.

        Args:
            sparsity: Sparsity of all these layers together, in [0, 1).

        Raises:
            ValueError: A sparsity outside [0, 1), or above the highest that was measured.
        """
        sparsity = check_sparsity(sparsity)
        if sparsity > self.sparsities[-1] + 1e-9:
            raise ValueError(
                f"The errors are known up to a sparsity of {self.sparsities[-1]:.4g}. Received: sparsity={sparsity!r}"
            )
        sizes = [curve.size for curve in self.curves]
        errors = [curve.errors for curve in self.curves]
        costs = [[size * (1 - each) for each in self.sparsities] for size in sizes]
        budget = (1 - sparsity) * sum(sizes)
        kept = spend(errors, costs, allocate(errors, costs, budget), budget)
        paths = [curve.layer for curve in self.curves]
        return {
            exact_pattern(path, paths): min(max(1 - each / size, 0.0), self.sparsities[-1])
            for path, each, size in zip(paths, kept, sizes, strict=True)
        }

    def _tables(self) -> Sequence[Table]:
        shown = [at for at in _SHOWN if at < len(self.sparsities)] or list(range(1, len(self.sparsities)))
        headings = ("Layer", "Weights", *(f"{self.sparsities[at]:.2f}" for at in shown))
        rows = [(curve.layer, f"{curve.size:,}", *(f"{curve.errors[at]:.2%}" for at in shown)) for curve in self.curves]
        return [Table(headings, rows, f"Errors of the layers of '{self.model}' by sparsity, after reconstruction")]

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        """A record for each layer and sparsity."""
        return [
            {"layer": curve.layer, "size": curve.size, "sparsity": float(sparsity), "error": error}
            for curve in self.curves
            for sparsity, error in zip(self.sparsities, curve.errors, strict=True)
        ]

    def _facts(self) -> Mapping[str, Any]:
        return {"model": self.model, "sparsities": [float(each) for each in self.sparsities]}

    def _bars(self) -> Bars:
        shown = [at for at in _SHOWN if at < len(self.sparsities)]
        series = {f"at {self.sparsities[at]:.2f}": [curve.errors[at] for curve in self.curves] for at in shown}
        return Bars("Errors of the layers", "error, of the variance of the outputs", self._names(), series)

    def _names(self) -> list[str]:
        return [curve.layer for curve in self.curves]


def layer_errors(
    model: keras.Model, data: Any, *, selection: Selection | None = None, prune_frozen: bool = False
) -> LayerErrors:
    """Measure how much the outputs of each layer change when it alone is pruned and reconstructed.

    Nothing is trained and no label is needed. `prune_weights(model, sparsity, targets="reconstruction", reconstruct=x)`
    measures the same, and uses it at once; measured beforehand it serves for several sparsities.

    Args:
        model: A built model, with masks or without. It is only read.
        data: Data, in the forms that `prune_weights` takes; targets are not needed.
        selection: How scores become masks; it must take a sparsity. Defaults to `Percentile()`.
        prune_frozen: Whether weights that are not trainable are measured too. Defaults to False.

    Returns:
        A `LayerErrors`. Print it for a table; `plot()` draws it, `targets(sparsity)` distributes a sparsity.

    Raises:
        ValueError: A selection that takes no sparsity, data that do not fit, or a model in which nothing can be
            refitted.
        TypeError: An argument of another type.

    Example:

    ```python
    errors = layer_errors(model, x)
    print(errors)
    pruned = prune_weights(model, 0.8, targets=errors.targets(0.8), reconstruct=x)
    ```
    """
    selection = Percentile() if selection is None else selection
    if not isinstance(selection, Selection):
        raise TypeError(f"`selection` must be a Selection, such as `Percentile()`. Received: selection={selection!r}")
    if not selection.needs_sparsity:
        raise ValueError(f"Errors are measured at sparsities, which it must take. Received: selection={selection!r}")
    if isinstance(selection, Percentile):
        selection = Percentile()  # of one layer at a time
    prunable_paths(model)
    masked = add_masks(model if _keras.is_graph(model) else copy_to_measure(model)[0], _nothing_more(model))
    reconstruction = Reconstruction(masked, masked, data)
    chosen = [each for each in reconstruction.weights if each.weight.weight.trainable or prune_frozen]
    if not chosen:
        raise ValueError(
            "The model has no weights that can be refitted: none that are trainable and multiply the inputs of their "
            f"layer. Received: the model '{model.name}'"
        )
    most = selection.max_sparsity
    sparsities = tuple(float(each) for each in SPARSITIES if most is None or each < most)
    sparsities += () if most is None else (float(most),)
    found: dict[str, list[tuple[int, np.ndarray]]] = {}
    for each in track(chosen, len(chosen), "Layer errors"):
        errors = _curve(reconstruction, each, selection, sparsities)
        found.setdefault(each.weight.layer, []).append((each.weight.size, errors))
    return LayerErrors(
        model.name,
        sparsities,
        tuple(
            LayerCurve(
                layer,
                sum(size for size, _ in parts),
                tuple(float(each) for each in np.sum([errors for _, errors in parts], axis=0)),
            )
            for layer, parts in found.items()
        ),
    )


def _nothing_more(model: keras.Model) -> Any:
    return (lambda layer: False) if find_masked(model) else None


def _curve(
    reconstruction: Reconstruction, each: Refitted, selection: Selection, sparsities: Sequence[float]
) -> np.ndarray:
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
    return np.maximum.accumulate(errors)
