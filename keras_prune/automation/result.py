"""`AutopruneResult`: the best model of a search, its candidates and decisions, and why the search ended."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_prune.automation.advice import Settings, advise
from keras_prune.automation.attempts import DENSE
from keras_prune.automation.choice import best_of, free, holds_surely
from keras_prune.automation.goal import Goal
from keras_prune.automation.journal import Decisions, Journal
from keras_prune.automation.pareto import COSTS, Candidate, ParetoFront
from keras_prune.automation.search import Search
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
        certain: Whether the goal is met beyond the noise of the validation data: the worse end of the 95% confidence
            interval of the best model's metric, `best.low` to `best.high`, is within the bound too. Defaults to False.
        advice: What to try if the goal is not met, from what was measured. Defaults to nothing.
        free: A candidate smaller than the best one, and not measurably worse. Defaults to None.
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
    certain: bool = False
    advice: tuple[str, ...] = ()
    free: Candidate | None = None
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
        interval = "" if best.low is None or best.high is None else f" (95% interval {best.low:.6g} to {best.high:.6g})"
        smaller = self.free
        return [
            f"Best: {best.name}, {best.done}",
            f"File: {self.path}",
            f"{self.front.metric}: {self.baseline:.6g} -> {best.metric:.6g}{interval}; the bound is {self.bound:.6g}",
            f"Bytes: {dense.bytes:,} -> {best.bytes:,}; after gzip: {dense.gzip_bytes:,} -> {best.gzip_bytes:,}",
            *(
                []
                if smaller is None
                else [
                    f"Smaller at no measurable loss: {smaller.name}, {smaller.bytes:,} bytes, {smaller.gzip_bytes:,} "
                    f"after gzip, {self.front.metric} {smaller.metric:.6g}"
                ]
            ),
            f"The goal is {self._verdict()}. {self.limit}",
            *(f"To try: {line}" for line in self.advice),
        ]

    def _verdict(self) -> str:
        if not self.met:
            return "NOT met"
        if self.certain:
            return "met"
        return (
            "met, though not for certain: the bound is within the interval, so other data may say otherwise (more "
            "validation data narrow it)"
        )

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        return self.front._rows()

    def _facts(self) -> Mapping[str, Any]:
        best = next(row for row in self.records() if row["name"] == self.best.name)
        return {
            "best": best,
            "met": self.met,
            "certain": self.certain,
            "limit": self.limit,
            "advice": list(self.advice),
            "free": None if self.free is None else self.free.name,
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


def result_of(
    journal: Journal, search: Search, goal: Goal, evaluation: Evaluation, settings: Settings
) -> AutopruneResult:
    """Return the result of a search that has ended."""
    front, bound = search.front, goal.bound(1.0)
    best = best_of(front, goal)
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
        met and holds_surely(front, best, bound),
        () if met else advise(front, goal, settings, bool(search.out_of_time)),
        free(front, best, goal) if goal.has_budget and met else None,
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


def _limit(best: Candidate, front: ParetoFront, goal: Goal, bound: float, search: Search, met: bool) -> str:
    reasons = [*search.limits, *([search.out_of_time] if search.out_of_time else [])]
    if not front.holds(best.metric, bound):
        reasons.insert(0, f"no candidate is within the bound of {bound:.6g}, not even the unpruned model as a file")
    elif goal.has_budget and not met:
        reasons.insert(0, f"{best.name} costs {goal.excess(best):.2f} times the budget {goal.budget}")
    if met and goal.has_budget:
        reasons.append("The most accurate of the models that were tried within the budget")
    return "; ".join(reasons) + "." if reasons else "The search ended when the budget was met."
