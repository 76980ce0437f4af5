"""The journal of a search: every decision and candidate, in a file from which a killed run resumes."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import overload

from keras_prune.automation.folder import JOURNAL, make_folder
from keras_prune.automation.pareto import FORMAT, Candidate, read_candidates, row_of
from keras_prune.reading.json_files import fields, read_json, record
from keras_prune.storage import write_plan
from tflite_export.reporting import Bars, Report, Table


@dataclasses.dataclass(frozen=True)
class Decision:
    """Decision of `autoprune` about one candidate.

    Args:
        candidate: Name of the candidate and its files.
        kept: Fraction of the method's cost that was kept: of the parameters or MACs for channels, of the prunable
            weights for weights, relative to the model that the method began with. None for the unpruned model.
        metric: Of the `.tflite` file; None if the export failed.
        bound: The worst acceptable value.
        decision: `"baseline"`, `"accepted"` or `"rejected"`.
        reason: Why; empty for the baseline.
        seconds: Time that the candidate took.
    """

    candidate: str
    kept: float | None
    metric: float | None
    bound: float
    decision: str
    reason: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Decisions(Report, Sequence[Decision]):
    """Decisions of a search, in order: a sequence, and a report. `print` shows a row for each.

    Args:
        metric: Name of the metric.
        decisions: The decisions.
    """

    metric: str
    decisions: tuple[Decision, ...]

    @overload
    def __getitem__(self, index: int) -> Decision: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Decision, ...]: ...

    def __getitem__(self, index: int | slice) -> Decision | tuple[Decision, ...]:
        return self.decisions[index]

    def __len__(self) -> int:
        return len(self.decisions)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self.decisions)

    def _tables(self) -> Sequence[Table]:
        headings = ("Candidate", "Kept", self.metric, "Bound", "Decision", "Reason", "Seconds")
        rows = [
            (
                each.candidate,
                "-" if each.kept is None else f"{each.kept:.1%}",
                "-" if each.metric is None else f"{each.metric:.6g}",
                f"{each.bound:.6g}",
                each.decision,
                each.reason,
                f"{each.seconds:.1f}",
            )
            for each in self.decisions
        ]
        return [Table(headings, rows, title="Decisions")]

    def _rows(self) -> Sequence[Decision]:
        return self.decisions

    def _bars(self) -> Bars:
        names = [each.candidate for each in self.decisions]
        values: dict[str, list[float | None]] = {
            self.metric: [each.metric for each in self.decisions],
            "bound": [each.bound for each in self.decisions],
        }
        return Bars("Decisions", self.metric, names, values)


class Journal:
    """Journal of a search, which is read from its folder if there is one.

    Args:
        folder: The output folder.
        mark: Fingerprint of the search: model, data, settings.
        metric: Name of the metric.
        higher_is_better: Whether it should be high.

    Raises:
        ValueError: The folder holds another search, or cannot be written.
    """

    def __init__(self, folder: pathlib.Path, mark: str, metric: str, higher_is_better: bool):
        self.folder, self._mark = folder, mark
        self._head = {"metric": metric, "higher_is_better": higher_is_better}
        self.decisions: list[Decision] = []
        self.candidates: dict[str, Candidate] = {}
        self._targets: dict[str, float | None] = {}
        if (folder / JOURNAL).is_file():
            self._read()
        else:
            make_folder(folder)
            self._write(overwrite=False)  # two searches that begin at once in one folder: the second is refused

    def find(self, name: str) -> Decision | None:
        """Return the decision about this candidate; None if it was not tried yet."""
        return next((each for each in self.decisions if each.candidate == name), None)

    def add(self, decision: Decision, candidate: Candidate | None) -> None:
        """Add a decision, and the candidate if there is one; its files exist by now."""
        self.decisions.append(decision)
        if candidate is not None:
            self.candidates[candidate.name] = candidate
        self._write()

    def target(self, what: str, find: Callable[[], float | None]) -> float | None:
        """Return the fraction to keep that `find` finds, or an earlier run found: timings differ from run to run.

        Args:
            what: Of which allocation of which model.
            find: Called if it is unknown so far.
        """
        if what not in self._targets:
            self._targets[what] = find()
            self._write()
        return self._targets[what]

    def _write(self, overwrite: bool = True) -> None:
        content = {
            "format": FORMAT,
            "fingerprint": self._mark,
            **self._head,
            "targets": self._targets,
            "decisions": [dataclasses.asdict(each) for each in self.decisions],
            "candidates": [row_of(each) for each in self.candidates.values()],
        }
        write_plan(self.folder / JOURNAL, content, overwrite=overwrite)

    def _read(self) -> None:
        file = self.folder / JOURNAL
        try:
            content = read_json(file)
            _, candidates = read_candidates(content, self.folder)
            head = fields(content, {"fingerprint": str, "decisions": list, "targets": dict})
            mark, targets = head["fingerprint"], head["targets"]
            decisions = [record(Decision, row) for row in head["decisions"]]
            targets = fields(targets, dict.fromkeys(targets, float | None))
            found = {each.name: each for each in candidates}
            for each in decisions:
                if each.metric is not None and each.candidate not in found:
                    raise ValueError(f"it has no candidate {each.candidate!r}")
        except (OSError, ValueError) as error:
            raise ValueError(f"The journal cannot be read. Received: '{file}' ({error})") from error
        if mark != self._mark:
            raise ValueError(
                "`output` holds the search of another model, or with other data or settings: name another folder. "
                f"Received: output='{self.folder}', made for {mark}, and now it is {self._mark}"
            )
        self.decisions = decisions
        self.candidates, self._targets = found, targets
