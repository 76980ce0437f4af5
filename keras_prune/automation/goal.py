"""What a search is for: a metric that holds, and a budget."""

from collections.abc import Mapping

from keras_prune.automation.methods import Measure
from keras_prune.automation.pareto import Candidate
from keras_prune.costs.budget import Budget
from keras_prune.insight.sensitivity.scan import Kind
from keras_prune.measurement.evaluation import Evaluation

# What a budget's numbers are in a candidate: zeros are no parameters that cost.
FIELDS = {"macs": "macs", "params": "nonzeros", "bytes": "bytes", "latency": "latency_ms"}


def shrunk_by_zeros(quantize: str | None) -> set[str]:
    """What of a budget becomes less when weights become zero: LiteRT multiplies by them, and stores them in int8."""
    return {"params", "bytes"} if quantize in (None, "float16") else {"params"}


class Goal:
    """What must hold.

    Args:
        evaluation: Of the validation data: its baseline is what is held on to.
        max_drop: How much worse than it the metric may be.
        budget: What the model may cost; None: as little as the metric allows.
        quantize: How files are written.
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
        """What channels are pruned for: MACs where only these and time are asked for and they are known, else
        parameters."""
        asked = self.budget is not None and set(self.budget.given) <= {"macs", "latency"}
        return "macs" if asked and self._macs_known else "params"

    def know(self, dense: Candidate) -> None:
        """Tells the unpruned model, of which budgets are fractions.

        Raises:
            ValueError: The MACs of the model, which the budget is of, are not known.
        """
        if self.budget is None:
            return
        self._macs_known = dense.macs is not None
        costs = {"macs": dense.macs, "params": dense.parameters, "bytes": dense.bytes}
        self._targets = {**self.budget.targets(costs)}
        if self.budget.latency is not None:
            self._targets = {**self._targets, "latency": self.budget.latency * dense.cost("latency_ms")}

    def bound(self, part: float) -> float:
        """The worst metric that will do, if only this part of the drop is allowed."""
        return self._evaluation.bound(self._max_drop * part)

    def excess(self, candidate: Candidate) -> float:
        """How many times the budget it costs; at most 1 is within it, and without a budget it is 0."""
        return max(
            (candidate.cost(FIELDS[name]) / target for name, target in self._targets.items()),
            default=0.0,
        )

    def met_by(self, candidate: Candidate) -> bool:
        """Whether the metric holds and the budget too."""
        return self._evaluation.holds(candidate.metric, self.bound(1.0)) and self.excess(candidate) <= 1

    def can_help(self, kind: Kind) -> bool:
        """Whether a method can bring the model nearer to the budget."""
        if self.budget is None or kind == "channels":
            return True
        return bool(set(self.budget.given) & shrunk_by_zeros(self._quantize))

    def enough(self, kind: Kind, base: Candidate) -> float:
        """The part of a method's cost at which the budget is met: less than that need not be tried. 0: not known."""
        if kind != "channels" or set(self._targets) != {self.measure}:
            return 0.0
        whole = base.cost("macs" if self.measure == "macs" else "parameters")
        return self._targets[self.measure] / whole
