"""`Search`: to a budget at once, and else in rounds, which step back where the metric is out of bounds."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import keras

from keras_prune.automation.allocate import Allocation
from keras_prune.automation.attempts import DENSE, Attempt, Attempts, Outcome
from keras_prune.automation.choice import holds_surely, is_near, most_accurate, rivals
from keras_prune.automation.clock import Clock, OutOfTime
from keras_prune.automation.goal import Goal
from keras_prune.automation.job import Job
from keras_prune.automation.journal import Journal
from keras_prune.automation.pareto import Candidate, ParetoFront
from keras_prune.automation.proposals import Proposal, Proposals
from keras_prune.insight.sensitivity.scan import Kind

SPREADS = 3  # a metric this many confidence intervals from the bound is hopeless


@dataclasses.dataclass(frozen=True)
class Pace:
    """Step sizes of a search.

    Args:
        step: Fraction of the remaining cost that a round removes.
        resolution: Relative difference between the smallest accepted and the largest rejected cost at which the search
            ends.
    """

    step: float
    resolution: float

    def next(self, held: float, failed: float | None, lowest: float) -> float | None:
        """Return the fraction to keep in the next round; None: the search has ended.

        Args:
            held: Lowest fraction that was accepted.
            failed: Highest fraction that was rejected; None if none was.
            lowest: Lowest fraction that can be reached.
        """
        if failed is None:
            return max(held * (1 - self.step), lowest) if held > lowest * (1 + 1e-6) else None
        if held <= failed * (1 + self.resolution):
            return None
        return math.sqrt(held * failed)


class Search:
    """Run of a search, which resumes from the journal of an earlier one.

    Args:
        job: Fine-tunes and exports candidates.
        journal: The decisions so far.
        goal: Bound and budget.
        pace: Step sizes.
        samples: Number of validation samples for scans of the sensitivity and for trials.
        trials: Number of allocations that are tried in each round, besides the others; 0: none.
        clock: Time limit.
        say: Prints a line.
    """

    def __init__(
        self,
        job: Job,
        journal: Journal,
        goal: Goal,
        pace: Pace,
        samples: int,
        trials: int,
        clock: Clock,
        say: Callable[[str], None],
    ):
        self._job, self._journal, self._goal, self._pace = job, journal, goal, pace
        self._samples, self._trials, self._clock = samples, trials, clock
        self._attempts = Attempts(job, journal, clock, say)
        self.limits: list[str] = []  # why each method ended
        self.out_of_time = ""

    def run(self, kinds: Sequence[Kind]) -> None:
        """Run the methods: each to the budget if there is one, then one on the result of the other."""
        useful = [kind for kind in kinds if self._goal.can_help(kind)]
        self.limits += [
            f"{kind}: skipped, zeros do not reduce {self._goal.budget}" for kind in kinds if kind not in useful
        ]
        try:
            done = self._attempts.dense(self._goal.bound(1.0))
            self._goal.know(done)
            if self._goal.has_budget and self._goal.met_by(done):
                return
            failed = {}
            if self._goal.has_budget:
                failed = self._to_budget([Proposals(kind, done, *self._parts) for kind in useful])
                if self._is_met:
                    return
            for index, kind in enumerate(useful):
                proposals = Proposals(kind, done, *self._parts)
                if self._goal.has_budget and index and done.name != DENSE:  # else it was tried above
                    failed = self._to_budget([proposals])
                    if self._is_met:
                        return
                done = self._rounds(proposals, self._goal.bound((index + 1) / len(useful)), failed.get(kind))
        except OutOfTime as error:
            self.out_of_time = str(error)

    def model_of(self, candidate: Candidate) -> keras.Model:
        """Return the plain model of a candidate."""
        return self._attempts.model_of(candidate)

    @property
    def front(self) -> ParetoFront:
        """The candidates so far."""
        evaluation = self._job.evaluation
        return ParetoFront(tuple(self._journal.candidates.values()), evaluation.name, not evaluation.lower_is_better)

    @property
    def _parts(self) -> tuple[Job, Journal, Goal, Attempts, int, int, Clock]:
        return self._job, self._journal, self._goal, self._attempts, self._samples, self._trials, self._clock

    @property
    def _is_met(self) -> bool:
        return any(map(self._goal.met_by, self._journal.candidates.values()))

    # With a budget: each allocation at the budget, then the best of them for longer.

    def _to_budget(self, methods: Sequence[Proposals]) -> dict[Kind, float]:
        """Try each allocation of each method within the budget; return how much was too little, by method."""
        bound, made, reached = self._goal.bound(1.0), [], dict[Kind, float]()
        for each in methods:
            if each.is_empty:
                continue
            outcomes = self._tried(each, each.within_budget(), each.base, bound)
            made += outcomes
            if outcomes and not any(outcome.accepted for outcome in outcomes):
                reached[each.kind] = max(outcome.decision.kept or 0.0 for outcome in outcomes)
            elif not outcomes:
                self.limits.append(
                    f"{each.kind}: with {each.lowest:.1%} of the {each.what} kept, the fewest possible, a model is "
                    "still above the budget"
                )
        self._finals([each for each in made if each.candidate and self._goal.excess(each.candidate) <= 1], bound)
        return reached

    def _finals(self, outcomes: Sequence[Outcome], bound: float) -> None:
        """Fine-tune the best of them for as long again, and then the best one, if it is not surely within the bound,
        for as long as all before, unless neither its interval nor its trend reaches the bound; neither, if it is surely
        within the bound and no worse than the unpruned one."""
        found = {each.candidate.name: each for each in outcomes if each.candidate}
        if not found or not self._job.epochs:
            return
        first = most_accurate(self.front, [each.candidate for each in found.values() if each.candidate])[0]
        if holds_surely(self.front, first, bound) and self.front.holds(first.metric, self.front.candidates[0].metric):
            return
        if first.epochs < found[first.name].attempt.base.epochs + self._job.epochs:  # it was hopeless
            return
        for each in rivals(self.front, [each.candidate for each in found.values() if each.candidate]):
            longer = self._longer(found[each.name], self._job.epochs)
            if longer.candidate and self._goal.excess(longer.candidate) <= 1:
                found[longer.candidate.name] = longer
        best = most_accurate(self.front, [each.candidate for each in found.values() if each.candidate])[0]
        self._attempts.keep([best])
        left = 2 * self._job.epochs
        if is_near(self.front, best, bound, left):
            last = self._longer(found[best.name], left)
            self._attempts.keep([each for each in (best, last.candidate) if each])

    # Without: rounds, each of which prunes further, or less.

    def _rounds(self, proposals: Proposals, bound: float, failed: float | None = None) -> Candidate:
        """Run the rounds of one method; return the smallest accepted candidate, or the one it began with.

        Args:
            proposals: The method and the candidate that it begins with.
            bound: Worst acceptable metric.
            failed: The fraction kept that is known to be too small. Defaults to None, none is known.
        """
        best = proposals.base
        if proposals.is_empty:
            self.limits.append(f"{proposals.kind}: nothing can be pruned")
            return best
        held, pruned = 1.0, Allocation()
        for _ in range(1000):
            target = self._pace.next(held, failed, proposals.lowest)
            if target is None:
                break
            ready = self._new_ones(proposals, target, pruned, best, failed)
            outcomes = self._tried(proposals, ready, best, bound)
            if not outcomes:  # a whole channel more or less: there is nothing in between
                break
            winner = self._winner(outcomes, bound)
            if winner is None:
                failed = max(outcome.decision.kept or 0.0 for outcome in outcomes)
                continue
            held, pruned = winner.decision.kept or held, winner.attempt.allocation
            best = winner.candidate or best
            self._attempts.keep([best])
            if self._goal.has_budget and self._goal.met_by(best):
                break
        self.limits.append(self._why(proposals, held, failed, bound))
        return best

    def _new_ones(
        self, proposals: Proposals, target: float, pruned: Allocation, best: Candidate, failed: float | None
    ) -> Iterable[Proposal]:
        """Yield the allocations of a round, except those that keep no more than what failed."""
        for label, allocation, _ in proposals.at(target, pruned, best):
            kept = proposals.method.left(allocation)
            if failed is None or kept > failed:
                yield label, allocation, kept

    def _tried(self, proposals: Proposals, ready: Iterable[Proposal], base: Candidate, bound: float) -> list[Outcome]:
        """Make a candidate by each allocation, all fine-tuned alike; of two that are the same model, one."""
        outcomes, seen = [], set()
        for label, allocation, _ in ready:
            removed = proposals.method.removed(allocation)
            if removed in seen:
                continue
            seen.add(removed)
            kept = proposals.method.left(allocation)
            words = (proposals.method, proposals.kind, proposals.what, label, base, allocation, kept, bound)
            outcomes.append(self._attempts.make(Attempt(*words, self._job.epochs, hopeless=self._hopeless(bound))))
        return outcomes

    def _winner(self, outcomes: Sequence[Outcome], bound: float) -> Outcome | None:
        """Return the most accurate of the accepted ones. If there is none, the best gets a second fine-tuning where
        chance may have decided, or its trend reaches the bound."""
        found = {each.candidate.name: each for each in outcomes if each.candidate}
        if not found:
            return None
        best = most_accurate(self.front, [each.candidate for each in found.values() if each.candidate])[0]
        if found[best.name].accepted:
            return found[best.name]
        if not self._job.epochs or not is_near(self.front, best, bound, self._job.epochs):
            return None
        longer = self._longer(found[best.name], self._job.epochs)
        return longer if longer.accepted else None

    def _longer(self, outcome: Outcome, epochs: int) -> Outcome:
        base = outcome.candidate
        assert base is not None
        return self._attempts.make(
            dataclasses.replace(outcome.attempt, base=base, epochs=epochs, hopeless=None, history=base.history)
        )

    def _hopeless(self, bound: float) -> float | None:
        """Return the metric below which a fine-tuning may end early: far from the bound, by the noise of the metric."""
        dense = self.front.candidates[0]
        if dense.low is None or dense.high is None:
            return None
        far = SPREADS * (dense.high - dense.low)
        return bound + far if self._job.evaluation.lower_is_better else bound - far

    def _why(self, proposals: Proposals, held: float, failed: float | None, bound: float) -> str:
        kind, what = proposals.kind, proposals.what
        if failed is None:
            return f"{kind}: {held:.1%} of the {what} are kept, and no more can be removed"
        return (
            f"{kind}: with {held:.1%} of the {what} kept the metric is within the bound of {bound:.6g}, with "
            f"{failed:.1%} it is not"
        )
