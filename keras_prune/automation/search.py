"""The search: a method makes the model smaller in rounds, steps back where the metric falls, and halves its step."""

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
from keras_prune.masking.wrapping import strip_pruning
from keras_prune.measurement.copies import copy_to_measure

DENSE = "dense"  # the candidate that is not pruned


@dataclasses.dataclass(frozen=True)
class Pace:
    """How large the steps of a search are.

    Args:
        step: The part of what is left that a round takes away.
        resolution: The search ends when what held and what failed differ by no more than this part.
    """

    step: float
    resolution: float

    def next(self, held: float, failed: float | None, lowest: float) -> float | None:
        """What shall be left after the next round; None: nothing between these is worth a try.

        Args:
            held: What was left when the metric held last.
            failed: The most that was left when it did not; None: it held each time.
            lowest: The least that can be left.
        """
        if failed is None:
            return max(held * (1 - self.step), lowest) if held > lowest * (1 + 1e-6) else None
        if held <= failed * (1 + self.resolution):
            return None
        return math.sqrt(held * failed)


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What a round tries.

    Args:
        name: Of the candidate.
        kind: Of the method.
        allocation: How much of each layer, or group, is gone then.
        left: What is left then of the method's cost.
        bound: The worst metric that will do.
    """

    name: str
    kind: Kind
    allocation: Allocation
    left: float
    bound: float


class Search:
    """One run, which may go on with what an earlier one has left.

    Args:
        job: What is done to each model.
        journal: What was decided so far.
        goal: What must hold.
        pace: How large the steps are.
        samples: Of the validation data, for the scans for sensitivity and for trials.
        trials: How many allocations are tried in each round, beside the greedy one; 0: only that one.
        clock: The time.
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
        self._expected = 0.0  # seconds of the next candidate
        self._latest: tuple[str, keras.Model] | None = None  # the last that was accepted, by name
        self.limits: list[str] = []  # why each method ended
        self.out_of_time = ""

    def run(self, kinds: Sequence[Kind]) -> None:
        """Tries each method in turn, on what the one before has left."""
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
                f"{kind}: left out, they do not count in {self._goal.budget}" for kind in kinds if kind not in useful
            ]
        except OutOfTime as error:
            self.out_of_time = str(error)

    def model_of(self, candidate: Candidate) -> keras.Model:
        """The plain model of a candidate; from its file only if it must be: not every class can be loaded."""
        if candidate.name == DENSE:
            return strip_pruning(self._job.model)
        if self._latest is not None and candidate.name == self._latest[0]:
            return self._latest[1]
        return candidate.load()

    # One method.

    def _method(self, kind: Kind, base: Candidate, model: keras.Model, bound: float) -> tuple[Candidate, keras.Model]:
        """Rounds of one method; returns the smallest candidate that held, or the one it began with."""
        found = self._sensitivity(kind, base, model)
        if not found.curves:
            self.limits.append(f"{kind}: nothing can be pruned")
            return base, model
        method = make_method(kind, model, found, self._goal.measure)
        lowest = max(method.left(method.path.at(len(method.path.steps))), self._goal.enough(kind, base))
        held, failed, best = 1.0, None, base
        gone: Allocation = {}  # with what held
        for index in range(1, 1000):
            target = self._pace.next(held, failed, lowest)
            if target is None:
                break
            name = f"{kind}-{index}"
            allocation = self._allocation(method, gone, target, best, model)
            left = method.left(allocation)
            if failed is not None and left <= failed:  # channels are whole: there is nothing in between
                break
            decision, pruned = self._round(Attempt(name, kind, allocation, left, bound), method, best, model)
            if decision.decision == "accepted":
                held, gone, best, model = left, allocation, self._journal.candidates[name], pruned
                self._latest = None if pruned is None else (name, pruned)
                if self._goal.has_budget and self._goal.met_by(best):
                    return best, self._loaded(best, model)
            else:
                failed = left
        self.limits.append(self._why(kind, held, failed, bound))
        return best, self._loaded(best, model)

    def _allocation(
        self, method: Method, gone: Allocation, target: float, best: Candidate, model: keras.Model | None
    ) -> Allocation:
        """How much of each layer shall go in the next round."""
        greedy = method.path.reach(method.left, target)
        if not self._trials:
            return greedy
        whole = self._loaded(best, model)
        evaluation = self._job.evaluation.of_sample(copy_to_measure(whole)[1], whole, self._samples)

        def judge(allocation: Allocation) -> float:
            self._clock.need(self._expected, "Another trial, and a candidate,")
            return evaluation.of(copy_to_measure(strip_pruning(method.prune(whole, allocation)))[1])

        return allocate_by_trials(
            method,
            gone,
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
        """One candidate: its decision, and its plain model unless it was made in an earlier run.

        Args:
            attempt: What is tried.
            method: How.
            best: The candidate to go on from.
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
        done = f"{attempt.left:.1%} of the {self._what(attempt.kind)} left; gone: {ratios}"
        candidate, plain, reason = self._exported(pruned, attempt.name, done)
        metric = None if candidate is None else candidate.metric
        if metric is not None and not self._job.evaluation.holds(metric, attempt.bound):
            reason = f"{metric:.6g} is worse than {attempt.bound:.6g}"
        self._expected = self._clock.passed - start
        judged = ("rejected", reason) if reason else ("accepted", "it holds")
        decision = Decision(attempt.name, attempt.left, metric, attempt.bound, *judged, self._expected)
        self._note(decision, candidate)
        return decision, plain

    def _exported(self, model: keras.Model, name: str, done: str) -> tuple[Candidate | None, Any, str]:
        try:
            return *self._job.candidate(model, name, self._journal.folder, done), ""
        except tflite_export.ExportError as error:  # a trained model may be one that cannot be quantised
            return None, None, f"the export failed: {error}"

    # What comes first.

    def _dense(self) -> Candidate:
        name = DENSE
        self._expected = self._job.guess
        known = self._journal.find(name)
        if known is None:
            start = self._clock.passed
            candidate, _ = self._job.candidate(self._job.model, name, self._journal.folder, "nothing")
            seconds = self._clock.passed - start
            bound = self._goal.bound(1.0)
            self._note(Decision(name, None, candidate.metric, bound, "baseline", "", seconds), candidate)
            self._expected += seconds
        else:
            self._expected += known.seconds
        return self._journal.candidates[name]

    def _sensitivity(self, kind: Kind, base: Candidate, model: keras.Model | None) -> Sensitivity:
        """Of what the method begins with; what was measured in an earlier run is taken from its file."""
        whole = self._loaded(base, model)
        scan = make_scan(whole, None, kind, None, None)
        evaluation = self._job.evaluation.of_sample(scan.running, whole, self._samples)
        seconds: list[float] = []

        def check() -> None:
            now = self._clock.passed
            one = now - seconds[-1] if seconds else 0.0
            seconds.append(now)
            self._clock.need(one + self._expected, f"The scan for sensitivity and a first candidate of {kind}")

        file = self._journal.folder / f"sensitivity-{kind}.json"
        return measure(scan, scan.units, LEVELS[kind], kind, evaluation, file, (kind,), check)

    # Small things.

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
            return f"{kind}: {held:.1%} of the {what} are left, and no more may go"
        return f"{kind}: with {held:.1%} of the {what} left the metric holds {bound:.6g}, with {failed:.1%} it does not"

    def _what(self, kind: Kind) -> str:
        names: dict[Measure, str] = {"params": "parameters", "macs": "MACs"}
        return names[self._goal.measure] if kind == "channels" else "prunable weights"
