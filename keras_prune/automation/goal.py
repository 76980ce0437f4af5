"""`Goal`: the bound of the metric, and the budget."""

import math
from collections.abc import Mapping

from keras_prune.automation.methods import Measure
from keras_prune.automation.pareto import Candidate
from keras_prune.costs.budget import Budget, BudgetRow
from keras_prune.insight.sensitivity.scan import Kind
from keras_prune.measurement.evaluation import Evaluation

# The field of a candidate that each number of a budget limits: parameters that are zero do not count.
FIELDS = {"macs": "macs", "params": "nonzeros", "bytes": "bytes", "latency": "latency_ms"}


def shrunk_by_zeros(quantize: str | None) -> set[str]:
    """Return the budgets that zeros help to meet: LiteRT multiplies by zeros too, and stores them in int8."""
    return {"params", "bytes"} if quantize in (None, "float16") else {"params"}


class Goal:
    """Goal of a search.

    Args:
        evaluation: On the validation data; its baseline is the metric of the unpruned model.
        max_drop: Largest change of the metric for the worse.
        budget: Budget of the model; None: as small as the metric allows.
        quantize: Quantization of the files.
    """

    def __init__(self, evaluation: Evaluation, max_drop: float, budget: Budget | None, quantize: str | None):
        self._evaluation, self._max_drop, self.budget, self._quantize = evaluation, max_drop, budget, quantize
        self._targets: Mapping[str, float] = {}
        self._macs_known = True

    @property
    def has_budget(self) -> bool:
        return self.budget is not None

    @property
    def measure(self) -> Measure:
        """The cost that pruning channels reduces: MACs, if the budget is of MACs or latency alone and they are counted,
        else parameters."""
        asked = self.budget is not None and set(self.budget.given) <= {"macs", "latency"}
        return "macs" if asked and self._macs_known else "params"

    def know(self, dense: Candidate) -> None:
        """Set the unpruned model, of which budgets are fractions.

        Raises:
            ValueError: The budget is of MACs, and those of the model are unknown.
        """
        if self.budget is None:
            return
        self._macs_known = dense.macs is not None
        costs = {"macs": dense.macs, "params": dense.parameters, "bytes": dense.bytes}
        self._targets = {**self.budget.targets(costs)}
        if self.budget.latency is not None:
            self._targets = {**self._targets, "latency": self.budget.latency * dense.cost("latency_ms")}

    def bound(self, part: float) -> float:
        """Return the worst acceptable metric if only this part of the drop is allowed."""
        return self._evaluation.bound(self._max_drop * part)

    def excess(self, candidate: Candidate) -> float:
        """Return the cost of a candidate as a multiple of the budget: at most 1 is within it; 0 without a budget."""
        return max(
            # A small fraction of a few is none at all.
            (candidate.cost(FIELDS[name]) / target if target else math.inf for name, target in self._targets.items()),
            default=0.0,
        )

    def rows(self, candidate: Candidate) -> tuple[BudgetRow, ...]:
        """Return what was asked for, and what a candidate reaches, of each value of the budget."""
        if self.budget is None:
            return ()
        reached = {name: getattr(candidate, FIELDS[name]) for name in self._targets}
        return BudgetRow.of(self.budget, self._targets, reached)

    def met_by(self, candidate: Candidate) -> bool:
        """Whether the metric of a candidate is within the bound, and its cost within the budget."""
        return self._evaluation.holds(candidate.metric, self.bound(1.0)) and self.excess(candidate) <= 1

    def can_help(self, kind: Kind) -> bool:
        """Whether a method can reduce what the budget limits."""
        if self.budget is None or kind == "channels":
            return True
        return bool(set(self.budget.given) & shrunk_by_zeros(self._quantize))

    @property
    def needs_file(self) -> bool:
        """Whether the budget is of what only a file shows."""
        return bool(set(self._targets) & {"bytes", "latency"})

    @property
    def targets(self) -> Mapping[str, float]:
        """The amounts of the budget, by the names of its fields; empty without a budget."""
        return self._targets

    def enough(self, kind: Kind, base: Candidate) -> float | None:
        """Return the fraction of a method's cost that just meets the budget; None if counting does not tell."""
        if kind != "channels" or set(self._targets) != {self.measure}:
            return None
        whole = base.cost("macs" if self.measure == "macs" else "parameters")
        return self._targets[self.measure] / whole
