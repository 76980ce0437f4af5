"""`AutopruneResult`: the best model of a search, its candidates and decisions, and why the search ended."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_prune.automation.goal import Goal
from keras_prune.automation.journal import Decisions, Journal
from keras_prune.automation.pareto import COSTS, Candidate, ParetoFront
from keras_prune.automation.search import DENSE, Search
from keras_prune.costs.budget import BudgetRow, budget_table
from keras_prune.measurement.evaluation import Evaluation
from tflite_export.reporting import Bars, Report, Table


@dataclasses.dataclass(frozen=True, eq=False)
class AutopruneResult(Report):
    """Result of `autoprune`: the best model and all candidates. `print` shows a table of the candidates.

    Args:
        model: The best model: plain Keras layers, in which the zeros are stored; not compiled.
        best: Its candidate.
        front: All candidates, and their Pareto front.
        decisions: The decision about each candidate.
        met: Whether the goal is met: the metric is within the bound, and the model within the budget if there is one;
            without a budget, whether a pruned model was found whose metric is within the bound.
        limit: What kept the model from getting smaller, or from the goal.
        baseline: Metric of the model that was passed.
        bound: Worst acceptable value of the metric.
        budgets: What was asked for and reached of each value of the budget. Defaults to none: there was no budget.
        missed: What was asked for and not reached, a sentence each; the report begins with them. Defaults to none.
    """

    model: keras.Model
    best: Candidate
    front: ParetoFront
    decisions: Decisions
    met: bool
    limit: str
    baseline: float
    bound: float
    budgets: tuple[BudgetRow, ...] = ()
    missed: tuple[str, ...] = ()

    @property
    def path(self) -> pathlib.Path:
        """Path of the `.tflite` file of the best model."""
        return self.best.path

    def _tables(self) -> Sequence[Table]:
        return [*self.front._tables(), *budget_table(self.budgets)]

    def _notes(self) -> Sequence[str]:
        dense, best = self.front.candidates[0], self.best
        return [
            f"Best: {best.name}, {best.done}",
            f"File: {self.path}",
            f"{self.front.metric}: {self.baseline:.6g} -> {best.metric:.6g}; the bound is {self.bound:.6g}",
            f"Bytes: {dense.bytes:,} -> {best.bytes:,}; after gzip: {dense.gzip_bytes:,} -> {best.gzip_bytes:,}",
            f"The goal is {'met' if self.met else 'NOT met'}. {self.limit}",
        ]

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        return self.front._rows()

    def _facts(self) -> Mapping[str, Any]:
        best = next(row for row in self.records() if row["name"] == self.best.name)
        return {
            "best": best,
            "met": self.met,
            "limit": self.limit,
            **self.front._facts(),
            "baseline": self.baseline,
            "bound": self.bound,
            "budgets": self.budgets,
            "missed": self.missed,
            "decisions": self.decisions.records(),
        }

    def _bars(self) -> Bars:
        dense = self.front.candidates[0]
        known = {name: getattr(dense, name) for name in COSTS if getattr(dense, name) and getattr(self.best, name)}
        values = {
            "before": [1.0 for _ in known],
            "after": [getattr(self.best, name) / before for name, before in known.items()],
        }
        return Bars(f"autoprune: {self.best.name}", "fraction of the unpruned model's", list(known), values)


def result_of(journal: Journal, search: Search, goal: Goal, evaluation: Evaluation) -> AutopruneResult:
    """Return the result of a search that has ended."""
    candidates = tuple(journal.candidates.values())
    front = ParetoFront(candidates, evaluation.name, not evaluation.lower_is_better)
    bound = goal.bound(1.0)
    best = _best(front, goal, bound)
    met = goal.met_by(best) and (goal.has_budget or best.name != DENSE)
    return AutopruneResult(
        search.model_of(best),
        best,
        front,
        Decisions(evaluation.name, tuple(journal.decisions)),
        met,
        _limit(best, front, goal, bound, search, met),
        evaluation.baseline,
        bound,
        goal.rows(best),
        () if met else (_missed(best, goal, evaluation.holds(best.metric, bound)),),
    )


def _missed(best: Candidate, goal: Goal, holds: bool) -> str:
    """What was not reached, in a sentence."""
    if not holds:
        return f"The goal was not met: no candidate is within the bound of the metric; the best is {best.name!r}."
    if goal.has_budget:
        low = ", ".join(row.name for row in goal.rows(best) if not row.met)
        return f"The goal was not met: of those within the bound, {best.name!r} comes nearest, and exceeds {low}."
    return "Nothing was pruned: no pruned candidate is within the bound of the metric."


def _best(front: ParetoFront, goal: Goal, bound: float) -> Candidate:
    """Return the smallest candidate that meets the goal; else the one within the bound that is nearest to the budget;
    else the one with the best metric."""
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
        reasons.insert(0, f"no candidate is within the bound of {bound:.6g}, not even the unpruned model as a file")
    elif goal.has_budget and not met:
        reasons.insert(0, f"{best.name} costs {goal.excess(best):.2f} times the budget {goal.budget}")
    return "; ".join(reasons) + "." if reasons else "The search ended when the budget was met."
