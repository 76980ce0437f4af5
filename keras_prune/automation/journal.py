"""The journal of a search: each decision and candidate, in a file that is whole at any time. From it a run resumes."""

import dataclasses
import json
import pathlib
from typing import Any

from keras_prune.automation.folder import JOURNAL, make_folder
from keras_prune.automation.pareto import Candidate, candidate_of, row_of
from keras_prune.reporting.records import Records
from keras_prune.storage import read_plan, write_plan


@dataclasses.dataclass(frozen=True)
class Decision:
    """What `autoprune` tried, and what came of it.

    Args:
        candidate: Name of the candidate; its files have it too.
        left: The part of the method's cost that was to be left (parameters or MACs of channels, weights that are not
            zero), of what the method began with; None for the unpruned model.
        metric: Of the file; None: there is none, the export failed.
        bound: The worst value that was acceptable.
        decision: `"baseline"`, `"accepted"` or `"rejected"`.
        reason: Why.
        seconds: How long it took.
    """

    candidate: str
    left: float | None
    metric: float | None
    bound: float
    decision: str
    reason: str
    seconds: float


class Journal:
    """What was decided so far.

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
        self.decisions: Records[Decision] = Records()
        self.candidates: dict[str, Candidate] = {}
        if (folder / JOURNAL).is_file():
            self._read()
        else:
            make_folder(folder)
            self._write()

    def find(self, name: str) -> Decision | None:
        """The decision about this candidate; None: it was not tried yet."""
        return next((each for each in self.decisions if each.candidate == name), None)

    def add(self, decision: Decision, candidate: Candidate | None) -> None:
        """Notes a decision, and the candidate if there is one, whose files are there."""
        self.decisions.append(decision)
        if candidate is not None:
            self.candidates[candidate.name] = candidate
        self._write()

    def _write(self) -> None:
        content = {
            "fingerprint": self._mark,
            **self._head,
            "decisions": [dataclasses.asdict(each) for each in self.decisions],
            "candidates": [row_of(each) for each in self.candidates.values()],
        }
        write_plan(self.folder / JOURNAL, content)

    def _read(self) -> None:
        file = self.folder / JOURNAL
        try:
            mark, rows = read_plan(file, "decisions", list)
            content: dict[str, Any] = json.loads(file.read_text())
            decisions = [Decision(**row) for row in rows]
            candidates = [candidate_of(row, self.folder) for row in content["candidates"]]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"The journal cannot be read. Received: '{file}' ({error})") from error
        if mark != self._mark:
            raise ValueError(
                "`output` holds the search of another model, or with other data or settings: name another folder. "
                f"Received: output='{self.folder}', made for {mark}, and now it is {self._mark}"
            )
        self.decisions = Records(decisions)
        self.candidates = {each.name: each for each in candidates}
