"""`Attempts`: makes the candidates of a search, unless its journal has them: prune, fine-tune, export, decide."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import keras

import tflite_export
from keras_prune.automation.allocate import Allocation
from keras_prune.automation.clock import Clock
from keras_prune.automation.fine_tuning import Effort
from keras_prune.automation.job import Job
from keras_prune.automation.journal import Decision, Journal
from keras_prune.automation.methods import Measure, Method
from keras_prune.automation.pareto import Candidate
from keras_prune.insight.sensitivity.scan import Kind
from keras_prune.masking.wrapping import remove_masks

DENSE = "dense"  # name of the unpruned candidate
WHAT: dict[Measure, str] = {"params": "parameters", "macs": "MACs"}


@dataclasses.dataclass(frozen=True, eq=False)
class Attempt:
    """Candidate to make.

    Args:
        method: Prunes.
        kind: Of the method: candidates are numbered by it.
        what: What the method removes, in words.
        label: How the allocation was chosen: `"uniform"`, `"greedy"` or `"optuna"`.
        base: The candidate to prune, or to fine-tune further.
        allocation: Ratio of each layer, or channel group.
        kept: Fraction of the method's cost that the allocation keeps.
        bound: Worst acceptable metric.
        epochs: Epochs of fine-tuning.
        hopeless: As in `Effort`. Defaults to None.
        history: As in `Candidate`, of a candidate that is fine-tuned for longer. Defaults to `()`: it was just pruned.
    """

    method: Method
    kind: Kind
    what: str
    label: str
    base: Candidate
    allocation: Allocation
    kept: float
    bound: float
    epochs: int
    hopeless: float | None = None
    history: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """Attempt that was made.

    Args:
        attempt: The attempt.
        decision: Whether the metric is within the bound.
        candidate: The candidate; None if the export failed.
    """

    attempt: Attempt
    decision: Decision
    candidate: Candidate | None

    @property
    def accepted(self) -> bool:
        return self.decision.decision == "accepted"


class Attempts:
    """Candidates of a search, made one after the other.

    Args:
        job: Fine-tunes and exports.
        journal: The decisions so far: those of an earlier run are not made again.
        clock: Time limit.
        say: Prints a line.
    """

    def __init__(self, job: Job, journal: Journal, clock: Clock, say: Callable[[str], None]):
        self._job, self._journal, self._clock, self._say = job, journal, clock, say
        self._counts: dict[Kind, int] = {}
        self._models: dict[str, keras.Model] = {}
        self.number = 0  # of the last attempt
        self.expected = job.guess  # seconds that the next one takes

    def dense(self, bound: float) -> Candidate:
        """Export the unpruned model, and measure its file."""
        known = self._journal.find(DENSE)
        if known is None:
            start = self._clock.passed
            candidate, _ = self._job.candidate(self._job.model, DENSE, self._journal.folder, "not pruned")
            seconds = self._clock.passed - start
            known = Decision(DENSE, None, candidate.metric, bound, "baseline", "", seconds)
            self._note(known, candidate)
        self.expected += known.seconds
        return self._journal.candidates[DENSE]

    def make(self, attempt: Attempt) -> Outcome:
        """Make a candidate.

        Raises:
            OutOfTime: It would take longer than the time that remains.
        """
        self.number += 1
        self._counts[attempt.kind] = index = self._counts.get(attempt.kind, 0) + 1
        name = f"{attempt.kind}-{index}"
        longer = max(1.0, attempt.epochs / max(1, self._job.epochs))
        decision = self._journal.find(name)
        if decision is None:
            self._clock.need(self.expected * longer, f"The next candidate, {name},")
            decision = self._new(attempt, name)
        self.expected = decision.seconds / longer
        return Outcome(attempt, decision, self._journal.candidates.get(name))

    def model_of(self, candidate: Candidate) -> keras.Model:
        """Return the plain model of a candidate, from memory if possible: not every class can be loaded."""
        if candidate.name == DENSE:
            return remove_masks(self._job.model)
        return self._models[candidate.name] if candidate.name in self._models else candidate.load()

    def keep(self, candidates: Iterable[Candidate]) -> None:
        """Keep in memory only the models of these candidates, of those that are there."""
        names = {each.name for each in candidates}
        self._models = {name: model for name, model in self._models.items() if name in names}

    def _new(self, attempt: Attempt, name: str) -> Decision:
        start = self._clock.passed
        base = self.model_of(attempt.base)
        compensated = self._job.compensate and attempt.kind == "channels"
        pruned = attempt.method.prune(base, attempt.allocation, self._job.inputs(base) if compensated else None)
        tuned = self._job.train(pruned, Effort(attempt.epochs, self.number, attempt.hopeless))
        epochs = attempt.base.epochs + tuned.epochs
        ratios = ", ".join(f"{layer} {ratio:.0%}" for layer, ratio in attempt.allocation.items())
        kept = f"{attempt.kept:.1%} of the {attempt.what} kept"
        how = f"{kept} (pruned: {ratios}{'; compensated' if compensated else ''})"
        done = f"{attempt.label}, {how}, epochs of fine-tuning: {epochs}"
        history = attempt.history + tuned.values[1 if attempt.history else 0 :]
        words = (self._journal.folder, done, epochs, attempt.label, tuned, history)
        candidate, reason = self._exported(pruned, name, words)
        metric = None if candidate is None else candidate.metric
        if metric is not None and not self._job.evaluation.holds(metric, attempt.bound):
            reason = f"{metric:.6g} is worse than {attempt.bound:.6g}"
            if tuned.epochs < attempt.epochs:
                reason += f", and was hopeless after {tuned.epochs} epochs"
        judged = ("rejected", reason) if reason else ("accepted", "within the bound")
        seconds = self._clock.passed - start
        decision = Decision(name, attempt.kept, metric, attempt.bound, *judged, seconds)
        self._note(decision, candidate)
        return decision

    def _exported(self, model: keras.Model, name: str, words: tuple[Any, ...]) -> tuple[Candidate | None, str]:
        folder, *others = words
        try:
            candidate, self._models[name] = self._job.candidate(model, name, folder, *others)
        except tflite_export.ExportError as error:  # after fine-tuning a model may be impossible to quantise
            return None, f"the export failed: {error}"
        return candidate, ""

    def _note(self, decision: Decision, candidate: Candidate | None) -> None:
        self._journal.add(decision, candidate)
        metric = "no file" if decision.metric is None else f"{self._job.evaluation.name} {decision.metric:.6g}"
        how = "" if candidate is None or not candidate.allocation else f"{candidate.allocation}, "
        size = "" if candidate is None else f", {candidate.bytes:,} bytes, {candidate.gzip_bytes:,} gzip"
        reason = f" ({decision.reason})" if decision.reason else ""
        self._say(f"{decision.candidate}: {how}{metric}{size}: {decision.decision}{reason}, {decision.seconds:.1f} s")
