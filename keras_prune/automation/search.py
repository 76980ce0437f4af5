"""`Search`: each method prunes in rounds, steps back where the metric is out of bounds, and halves its step."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

import tflite_export
from keras_prune.automation.allocate import Allocation
from keras_prune.automation.clock import Clock, OutOfTime
from keras_prune.automation.goal import Goal
from keras_prune.automation.job import Job
from keras_prune.automation.journal import Decision, Journal
from keras_prune.automation.methods import LEVELS, Measure, Method, make_method
from keras_prune.automation.pareto import Candidate
from keras_prune.automation.trials import allocate_by_trials
from keras_prune.insight.sensitivity.scan import Kind, Sensitivity, make_scan, measure
from keras_prune.masking.wrapping import remove_masks
from keras_prune.measurement.copies import copy_to_measure

DENSE = "dense"  # name of the unpruned candidate


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


@dataclasses.dataclass(frozen=True)
class Attempt:
    """Candidate that a round is about to make.

    Args:
        name: Of the candidate.
        kind: Of the method.
        allocation: Ratio of each layer, or channel group.
        kept: Fraction of the method's cost that the allocation keeps.
        bound: Worst acceptable metric.
    """

    name: str
    kind: Kind
    allocation: Allocation
    kept: float
    bound: float


class Search:
    """Run of a search, which resumes from the journal of an earlier one.

    Args:
        job: Fine-tunes and exports candidates.
        journal: The decisions so far.
        goal: Bound and budget.
        pace: Step sizes.
        samples: Number of validation samples for scans of the sensitivity and for trials.
        trials: Number of allocations that are tried in each round, besides the greedy one; 0: only that one.
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
        self._samples, self._trials, self._clock, self._say = samples, trials, clock, say
        self._number = 0
        self._expected = 0.0  # seconds that the next candidate takes
        self._latest: tuple[str, keras.Model] | None = None  # name and model of the last accepted candidate
        self.limits: list[str] = []  # why each method ended
        self.out_of_time = ""

    def run(self, kinds: Sequence[Kind]) -> None:
        """Run each method in turn, on the result of the one before."""
        done: Candidate | None = None
        try:
            dense = self._dense()
            self._goal.know(dense)
            done, model = dense, self._job.model
            useful = [kind for kind in kinds if self._goal.can_help(kind)]
            for index, kind in enumerate(useful):
                if self._goal.has_budget and self._goal.met_by(done):
                    return
                done, model = self._method(kind, done, model, self._goal.bound((index + 1) / len(useful)))
            self.limits += [
                f"{kind}: skipped, zeros do not reduce {self._goal.budget}" for kind in kinds if kind not in useful
            ]
        except OutOfTime as error:
            self.out_of_time = str(error)

    def model_of(self, candidate: Candidate) -> keras.Model:
        """Return the plain model of a candidate, from memory if possible: not every class can be loaded."""
        if candidate.name == DENSE:
            return remove_masks(self._job.model)
        if self._latest is not None and candidate.name == self._latest[0]:
            return self._latest[1]
        return candidate.load()

    # The rounds of one method.

    def _method(self, kind: Kind, base: Candidate, model: keras.Model, bound: float) -> tuple[Candidate, keras.Model]:
        """Run the rounds of one method; return the smallest accepted candidate, or the one it began with."""
        found = self._sensitivity(kind, base, model)
        if not found.curves:
            self.limits.append(f"{kind}: nothing can be pruned")
            return base, model
        method = make_method(kind, model, found, self._goal.measure)
        lowest = max(method.left(method.path.at(len(method.path.steps))), self._goal.enough(kind, base))
        held, failed, best = 1.0, None, base
        pruned: Allocation = {}  # of the best
        for index in range(1, 1000):
            target = self._pace.next(held, failed, lowest)
            if target is None:
                break
            name = f"{kind}-{index}"
            allocation = self._allocation(method, pruned, target, best, model)
            kept = method.left(allocation)
            if failed is not None and kept <= failed:  # a whole channel more or less: there is nothing in between
                break
            decision, plain = self._round(Attempt(name, kind, allocation, kept, bound), method, best, model)
            if decision.decision == "accepted":
                held, pruned, best, model = kept, allocation, self._journal.candidates[name], plain
                self._latest = None if plain is None else (name, plain)
                if self._goal.has_budget and self._goal.met_by(best):
                    return best, self._loaded(best, model)
            else:
                failed = kept
        self.limits.append(self._why(kind, held, failed, bound))
        return best, self._loaded(best, model)

    def _allocation(
        self, method: Method, pruned: Allocation, target: float, best: Candidate, model: keras.Model | None
    ) -> Allocation:
        """Return the ratios of the next round."""
        greedy = method.path.reach(method.left, target)
        if not self._trials:
            return greedy
        whole = self._loaded(best, model)
        evaluation = self._job.evaluation.of_sample(copy_to_measure(whole)[1], whole, self._samples)

        def judge(allocation: Allocation) -> float:
            self._clock.need(self._expected, "Another trial, and a candidate,")
            return evaluation.of(copy_to_measure(remove_masks(method.prune(whole, allocation)))[1])

        return allocate_by_trials(
            method,
            pruned,
            greedy,
            target,
            judge,
            lower_is_better=evaluation.lower_is_better,
            trials=self._trials,
            seed=self._job.seed + self._number,
        )

    def _round(
        self, attempt: Attempt, method: Method, best: Candidate, model: keras.Model | None
    ) -> tuple[Decision, keras.Model | None]:
        """Make one candidate; return its decision, and its plain model unless an earlier run made it.

        Args:
            attempt: The candidate to make.
            method: The method that prunes.
            best: The candidate to prune further.
            model: Its plain model, or None if it is not in memory.
        """
        self._number += 1
        known = self._journal.find(attempt.name)
        if known is not None:
            self._expected = known.seconds
            return known, None
        self._clock.need(self._expected, f"The next candidate, {attempt.name},")
        start = self._clock.passed
        pruned = method.prune(self._loaded(best, model), attempt.allocation)
        self._job.train(pruned, self._number)
        ratios = ", ".join(f"{layer} {ratio:.0%}" for layer, ratio in attempt.allocation.items())
        done = f"{attempt.kept:.1%} of the {self._what(attempt.kind)} kept (pruned: {ratios})"
        candidate, plain, reason = self._exported(pruned, attempt.name, done)
        metric = None if candidate is None else candidate.metric
        if metric is not None and not self._job.evaluation.holds(metric, attempt.bound):
            reason = f"{metric:.6g} is worse than {attempt.bound:.6g}"
        self._expected = self._clock.passed - start
        judged = ("rejected", reason) if reason else ("accepted", "within the bound")
        decision = Decision(attempt.name, attempt.kept, metric, attempt.bound, *judged, self._expected)
        self._note(decision, candidate)
        return decision, plain

    def _exported(self, model: keras.Model, name: str, done: str) -> tuple[Candidate | None, Any, str]:
        try:
            return *self._job.candidate(model, name, self._journal.folder, done), ""
        except tflite_export.ExportError as error:  # after fine-tuning a model may be impossible to quantise
            return None, None, f"the export failed: {error}"

    # Before the rounds.

    def _dense(self) -> Candidate:
        name = DENSE
        self._expected = self._job.guess
        known = self._journal.find(name)
        if known is None:
            start = self._clock.passed
            candidate, _ = self._job.candidate(self._job.model, name, self._journal.folder, "not pruned")
            seconds = self._clock.passed - start
            bound = self._goal.bound(1.0)
            self._note(Decision(name, None, candidate.metric, bound, "baseline", "", seconds), candidate)
            self._expected += seconds
        else:
            self._expected += known.seconds
        return self._journal.candidates[name]

    def _sensitivity(self, kind: Kind, base: Candidate, model: keras.Model | None) -> Sensitivity:
        """Scan the model that the method begins with; values that an earlier run measured are read from its file."""
        whole = self._loaded(base, model)
        scan = make_scan(whole, None, kind, None, None)
        evaluation = self._job.evaluation.of_sample(scan.running, whole, self._samples)
        seconds: list[float] = []

        def check() -> None:
            now = self._clock.passed
            one = now - seconds[-1] if seconds else 0.0
            seconds.append(now)
            self._clock.need(one + self._expected, f"The sensitivity scan and a first candidate of {kind}")

        file = self._journal.folder / f"sensitivity-{kind}.json"
        return measure(scan, scan.units, LEVELS[kind], kind, evaluation, file, {"kind": kind}, check)

    # Helpers.

    def _loaded(self, candidate: Candidate, model: keras.Model | None) -> keras.Model:
        return candidate.load() if model is None else model

    def _note(self, decision: Decision, candidate: Candidate | None) -> None:
        self._journal.add(decision, candidate)
        metric = "no file" if decision.metric is None else f"{self._job.evaluation.name} {decision.metric:.6g}"
        size = "" if candidate is None else f", {candidate.bytes:,} bytes, {candidate.gzip_bytes:,} gzip"
        reason = f" ({decision.reason})" if decision.reason else ""
        self._say(f"{decision.candidate}: {metric}{size}: {decision.decision}{reason}, {decision.seconds:.1f} s")

    def _why(self, kind: Kind, held: float, failed: float | None, bound: float) -> str:
        what = self._what(kind)
        if failed is None:
            return f"{kind}: {held:.1%} of the {what} are kept, and no more can be removed"
        return (
            f"{kind}: with {held:.1%} of the {what} kept the metric is within the bound of {bound:.6g}, with "
            f"{failed:.1%} it is not"
        )

    def _what(self, kind: Kind) -> str:
        names: dict[Measure, str] = {"params": "parameters", "macs": "MACs"}
        return names[self._goal.measure] if kind == "channels" else "prunable weights"
