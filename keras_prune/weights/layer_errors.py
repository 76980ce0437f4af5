"""`LayerErrors`: what pruning costs in each layer, after reconstruction, and the per-layer sparsities that follow."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_prune.costs.budget import Budget
from keras_prune.patterns import exact_pattern
from keras_prune.reconstruction.allocation import distribute
from keras_prune.reporting.numbers import number
from keras_prune.validation import check_sparsity
from keras_prune.weights.choice import check_counted
from tflite_export.reporting import Bars, Report, Shown, Table

_SHOWN = (2, 3, 5, 7, 10, 13)  # about 0.36, 0.49, 0.67, 0.79, 0.89 and 0.95


@dataclasses.dataclass(frozen=True)
class LayerCurve(Shown):
    """The errors of one layer, and what it costs.

    Args:
        layer: Path of the layer.
        size: Number of its weights that can be refitted.
        errors: For each sparsity the error of its outputs after reconstruction, as a fraction of their variance.
        macs: Multiply-accumulates with these weights for one sample, if none is zero; None if they are unknown.
        weight_bytes: Bytes of these weights, if none is zero.
        rounding: How many weights more than asked may be kept, since whole weights are, or blocks of them.
    """

    layer: str
    size: int
    errors: tuple[float, ...]
    macs: int | None
    weight_bytes: int
    rounding: int

    def cost(self, name: str) -> int:
        """What it costs, by the name that budgets use."""
        found = {"params": self.size, "macs": self.macs, "weight_bytes": self.weight_bytes}[name]
        return found or 0


@dataclasses.dataclass(frozen=True)
class LayerErrors(Report):
    """The error of each layer's outputs at each sparsity, as `layer_errors` measured it. Its `str` is a table.

    Args:
        model: Name of the model.
        sparsities: The sparsities, in ascending order; the first is 0.
        curves: The errors of each layer.
        costs: What the model costs if no weight is zero, by the names of the fields of a `Budget`: `"params"`,
            `"weight_bytes"` and `"macs"`; None where that is unknown.
        unknown: Why the multiply-accumulates of an operation are unknown, by its path. Defaults to none.
    """

    model: str
    sparsities: tuple[float, ...]
    curves: tuple[LayerCurve, ...]
    costs: Mapping[str, int | None]
    unknown: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def targets(self, sparsity: float | None = None, *, budget: Budget | None = None) -> dict[str, float]:
        """Return the per-layer sparsity for which the sum of the errors is least, for `targets=` of `prune_weights`.

        Args:
            sparsity: Sparsity of all these layers together, in [0, 1). Defaults to None: as `budget` says.
            budget: What the model may cost, zeros not counted: see `prune_weights`. Defaults to None: as `sparsity`
                says.

        Raises:
            ValueError: Neither or both of them, a sparsity outside [0, 1) or above the highest that was measured, or a
                budget that cannot be met (the message says what can), or of what only a file shows.
            TypeError: A budget of another type.
        """
        if (sparsity is None) == (budget is None):
            raise ValueError(
                "Either a sparsity or a budget is distributed among the layers. "
                f"Received: sparsity={sparsity!r}, budget={budget!r}"
            )
        if budget is not None:
            check_counted(budget)
            given = self._limits(budget)
            costs = [[curve.cost(name) for curve in self.curves] for name in given]
            limits = [limit - self._fixed(name) for name, limit in given.items()]
        else:
            sparsity = check_sparsity(sparsity)
            if sparsity > self.sparsities[-1] + 1e-9:
                raise ValueError(
                    f"The errors are known up to a sparsity of {self.sparsities[-1]:.4g}. "
                    f"Received: sparsity={sparsity!r}"
                )
            costs = [[curve.size for curve in self.curves]]
            limits = [(1 - sparsity) * sum(costs[0])]
        kept = distribute(
            [curve.errors for curve in self.curves], [1 - each for each in self.sparsities], costs, limits
        )
        paths = [curve.layer for curve in self.curves]
        return {
            exact_pattern(path, paths): min(max(1 - each, 0.0), self.sparsities[-1])
            for path, each in zip(paths, kept, strict=True)
        }

    def over(self, budget: Budget, kept: Mapping[str, int]) -> dict[str, int]:
        """Return what a model costs of what a budget limits, where that is more than the limit.

        Args:
            budget: The budget.
            kept: By path of a layer how many of these weights it keeps.
        """
        found = {}
        for name, limit in self._limits(budget).items():
            pruned = sum(
                curve.cost(name) * (curve.size - kept.get(curve.layer, curve.size)) // curve.size
                for curve in self.curves
            )
            reached = (self.costs[name] or 0) - pruned
            if reached > limit:
                found[name] = reached
        return found

    def _limits(self, budget: Budget) -> dict[str, int]:
        """The amounts that must not be exceeded.

        Raises:
            ValueError: They cannot be met, or are unknown.
        """
        limits = budget.targets(self.costs, self.unknown)
        least = {
            name: math.ceil(
                self._fixed(name) + sum(curve.cost(name) for curve in self.curves) * (1 - self.sparsities[-1])
            )
            for name in limits
        }
        missed = {name: count for name, count in least.items() if count > limits[name]}
        if missed:
            reachable = ", ".join(f"{name}={count:,}" for name, count in missed.items())
            raise ValueError(
                f"The budget cannot be met: with {self.sparsities[-1]:.4g} of the weights of each layer pruned, the "
                f"most that was measured, the model has {reachable}. Received: {budget}, that is {limits}"
            )
        return limits

    def _fixed(self, name: str) -> float:
        """What is there whatever the sparsities: all else in the model, and what is kept since weights are whole."""
        return (self.costs[name] or 0) - sum(
            curve.cost(name) * (1 - curve.rounding / curve.size) for curve in self.curves
        )

    def _tables(self) -> Sequence[Table]:
        shown = [at for at in _SHOWN if at < len(self.sparsities)] or list(range(1, len(self.sparsities)))
        headings = ("Layer", "Weights", "MACs", *(f"{self.sparsities[at]:.2f}" for at in shown))
        rows = [
            (curve.layer, f"{curve.size:,}", number(curve.macs), *(f"{curve.errors[at]:.2%}" for at in shown))
            for curve in self.curves
        ]
        return [Table(headings, rows, f"Errors of the layers of '{self.model}' by sparsity, after reconstruction")]

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        """A record for each layer and sparsity."""
        return [
            {
                "layer": curve.layer,
                "size": curve.size,
                "macs": curve.macs,
                "weight_bytes": curve.weight_bytes,
                "sparsity": float(sparsity),
                "error": error,
            }
            for curve in self.curves
            for sparsity, error in zip(self.sparsities, curve.errors, strict=True)
        ]

    def _facts(self) -> Mapping[str, Any]:
        return {
            "model": self.model,
            "sparsities": [float(each) for each in self.sparsities],
            "costs": dict(self.costs),
            "unknown": dict(self.unknown),
        }

    def _bars(self) -> Bars:
        shown = [at for at in _SHOWN if at < len(self.sparsities)]
        series = {f"at {self.sparsities[at]:.2f}": [curve.errors[at] for curve in self.curves] for at in shown}
        return Bars("Errors of the layers", "error, of the variance of the outputs", self._names(), series)

    def _names(self) -> list[str]:
        return [curve.layer for curve in self.curves]
