"""`Proposals`: which allocations of the per-layer sparsity are tried, for one method on one model."""

import functools
from collections.abc import Iterator
from typing import Any

import keras

import tflite_export
from keras_prune.automation.afford import afford
from keras_prune.automation.allocate import Allocation, Path, raised
from keras_prune.automation.attempts import DENSE, WHAT, Attempts
from keras_prune.automation.clock import Clock
from keras_prune.automation.goal import Goal
from keras_prune.automation.job import Job
from keras_prune.automation.journal import Journal
from keras_prune.automation.methods import LEVELS, greedy, make_method
from keras_prune.automation.pareto import Candidate
from keras_prune.automation.trials import allocate_by_trials
from keras_prune.insight.sensitivity.scan import Kind, make_scan, measure
from keras_prune.masking.wrapping import remove_masks
from keras_prune.measurement.copies import copy_to_measure

Proposal = tuple[str, Allocation, float]  # its label, the ratios, and the fraction kept


class Proposals:
    """Allocations for one method. The uniform one is always the first; the scan of the sensitivity follows it.

    Args:
        kind: Of the method.
        base: The candidate that the method begins with.
        job: Has the data.
        journal: Has the folder.
        goal: Says what a budget allows.
        attempts: Has the models.
        samples: Number of validation samples for scans and trials.
        trials: Number of allocations that Optuna tries; 0: none.
        clock: Time limit.
    """

    def __init__(
        self,
        kind: Kind,
        base: Candidate,
        job: Job,
        journal: Journal,
        goal: Goal,
        attempts: Attempts,
        samples: int,
        trials: int,
        clock: Clock,
    ):
        self.kind, self.base = kind, base
        self._job, self._journal, self._goal, self._attempts = job, journal, goal, attempts
        self._samples, self._trials, self._clock = samples, trials, clock
        self._model = attempts.model_of(base)
        self._scan = make_scan(self._model, None, kind, None, None)
        units = self._scan.units
        self.is_empty = not units
        self.what = WHAT[goal.measure] if kind == "channels" else "prunable weights"
        if units:
            self.method = make_method(kind, self._model, units, goal.measure)
        self._greedy: Path | None = None

    @property
    def lowest(self) -> float:
        """Lowest fraction that can be kept: that of the end of the uniform path."""
        uniform = self.method.uniform
        return self.method.left(uniform.at(uniform.length))

    def within_budget(self) -> Iterator[Proposal]:
        """Yield the largest models within the budget, of each allocation; none where even the smallest is above it."""
        kept = None
        for label, path in self._paths():
            name = f"{self.kind} {label} of {self.base.name}"
            kept = self._journal.target(name, functools.partial(self._affordable, path))
            if kept is not None:
                yield label, path.reach(self.method.left, kept), kept
        if self._trials and kept is not None:
            yield "optuna", self._by_trials({}, kept, self._model), kept

    def at(self, target: float, held: Allocation, best: Candidate) -> Iterator[Proposal]:
        """Yield the allocations that keep this fraction.

        Args:
            target: The fraction.
            held: What `best` is pruned by: ratios only rise.
            best: The candidate that is pruned further.
        """
        for label, path in self._paths():
            yield label, self._reached(path, target, held), target
        if self._trials:
            yield "optuna", self._by_trials(held, target, self._attempts.model_of(best)), target

    def _paths(self) -> Iterator[tuple[str, Path]]:
        yield "uniform", self.method.uniform
        yield "greedy", self._scanned()

    def _reached(self, path: Path, target: float, held: Allocation) -> Allocation:
        return raised(held, path.reach(lambda allocation: self.method.left(raised(held, allocation)), target))

    def _affordable(self, path: Path) -> float | None:
        """Return the largest fraction to keep that meets the budget: by counting if that is exact, else probes."""
        smallest = self.method.left(path.at(path.length))
        exact = self._goal.enough(self.kind, self.base)
        if exact is not None:
            return exact if smallest <= exact else None
        return afford(lambda kept: self._excess(path, kept), self._goal.excess(self.base), smallest)

    def _excess(self, path: Path, kept: float) -> float:
        self._clock.need(self._attempts.expected, "A first candidate within the budget")
        pruned = self.method.prune(self._model, path.reach(self.method.left, kept))
        try:
            return self._goal.excess(self._job.costs(pruned, self._goal.needs_file))
        except tflite_export.ExportError:  # without fine-tuning its outputs may be far from those of Keras
            return self._goal.excess(self.base) * kept

    def _scanned(self) -> Path:
        """Return the path by the sensitivity; values that an earlier run measured are read from a file."""
        if self._greedy is None:
            scan = self._scan
            evaluation = self._job.evaluation.of_sample(scan.running, self._model, self._samples)
            seconds: list[float] = []

            def check() -> None:
                now = self._clock.passed
                one = now - seconds[-1] if seconds else 0.0
                seconds.append(now)
                self._clock.need(one + self._attempts.expected, f"The sensitivity scan and a candidate of {self.kind}")

            of = "" if self.base.name == DENSE else f"-{self.base.name}"
            file = self._journal.folder / f"sensitivity-{self.kind}{of}.json"
            found = measure(
                scan, scan.units, LEVELS[self.kind], self.kind, evaluation, file, {"kind": self.kind}, check
            )
            self._greedy = greedy(self.method, found)
        return self._greedy

    def _by_trials(self, held: Allocation, target: float, whole: keras.Model) -> Allocation:
        """Return the best allocation of several, by the metric before fine-tuning."""
        evaluation = self._job.evaluation.of_sample(copy_to_measure(whole)[1], whole, self._samples)

        def judge(allocation: Allocation) -> float:
            self._clock.need(self._attempts.expected, "Another trial, and a candidate,")
            return evaluation.of(copy_to_measure(remove_masks(self.method.prune(whole, allocation)))[1])

        path: Any = self._scanned()
        return allocate_by_trials(
            path,
            self.method.left,
            held,
            self._reached(path, target, held),
            target,
            judge,
            lower_is_better=evaluation.lower_is_better,
            trials=self._trials,
            seed=self._job.seed + self._attempts.number,
        )
