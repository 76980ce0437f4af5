"""What `autoprune` returns: the best model that it found, how it got there, and what stopped it."""

import dataclasses
import pathlib

import keras

from keras_prune.automation.goal import Goal
from keras_prune.automation.journal import Decision, Journal
from keras_prune.automation.pareto import Candidate, ParetoFront
from keras_prune.automation.search import DENSE, Search
from keras_prune.measurement.evaluation import Evaluation
from keras_prune.reporting.records import Records


@dataclasses.dataclass(frozen=True, eq=False)
class AutopruneResult:
    """What `autoprune` found. Its `str` is a table of the candidates, and what was decided.

    Args:
        model: The best model: of plain Keras layers, with the zeros written in, not compiled.
        best: The candidate that it is.
        front: All candidates, and those that no other one beats.
        decisions: What was tried, and what came of it.
        met: Whether the metric holds and the model is within the budget, if there was one; without a budget, whether
            a pruned model was found for which the metric holds.
        limit: What kept it from getting smaller, or from the goal.
        baseline: The metric of the model that was passed.
        bound: The worst value of the metric that holds.
    """

    model: keras.Model
    best: Candidate
    front: ParetoFront
    decisions: Records[Decision]
    met: bool
    limit: str
    baseline: float
    bound: float

    @property
    def path(self) -> pathlib.Path:
        """The `.tflite` file of the best model."""
        return self.best.path

    def __str__(self) -> str:
        metric, dense = self.front.metric, self.front.candidates[0]
        lines = [
            str(self.front),
            f"Best: {self.best.name}, {self.path} ({self.best.done})",
            f"{metric}: {self.best.metric:.6g}; must hold {self.bound:.6g}; before: {self.baseline:.6g}",
            f"Bytes: {dense.bytes:,} -> {self.best.bytes:,}; after gzip: {dense.gzip_bytes:,} -> "
            f"{self.best.gzip_bytes:,}",
            f"The goal is {'met' if self.met else 'NOT met'}. {self.limit}",
        ]
        return "\n".join(lines)


def result_of(journal: Journal, search: Search, goal: Goal, evaluation: Evaluation) -> AutopruneResult:
    """The result of a search that has ended."""
    candidates = tuple(journal.candidates.values())
    front = ParetoFront(candidates, evaluation.name, not evaluation.lower_is_better)
    bound = goal.bound(1.0)
    best = _best(front, goal, bound)
    met = goal.met_by(best) and (goal.has_budget or best.name != DENSE)
    return AutopruneResult(
        search.model_of(best),
        best,
        front,
        Records(journal.decisions),
        met,
        _limit(best, front, goal, bound, search, met),
        evaluation.baseline,
        bound,
    )


def _best(front: ParetoFront, goal: Goal, bound: float) -> Candidate:
    """The smallest for which everything holds; else the one for which the metric holds and which is nearest to the
    budget; else the one of the best metric."""
    holding = [each for each in front.candidates if front.holds(each.metric, bound)]
    if not holding:
        return front.front[-1]
    within = [each for each in holding if goal.excess(each) <= 1]
    if within:
        return min(within, key=lambda each: each.cost(front.cost))
    return min(holding, key=lambda each: (goal.excess(each), each.cost(front.cost)))


def _limit(best: Candidate, front: ParetoFront, goal: Goal, bound: float, search: Search, met: bool) -> str:
    reasons = [*search.limits, *([search.out_of_time] if search.out_of_time else [])]
    if not front.holds(best.metric, bound):
        reasons.insert(0, f"no candidate holds {bound:.6g}, not even the unpruned model as a file")
    elif goal.has_budget and not met:
        reasons.insert(0, f"{best.name} costs {goal.excess(best):.2f} times the budget {goal.budget}")
    return "; ".join(reasons) + "." if reasons else "Nothing: the search ended with the budget met."
