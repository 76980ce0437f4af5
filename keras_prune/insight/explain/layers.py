"""Removed layers and branches."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from keras_prune.insight.explain.ranking import ranks, score_text
from keras_prune.layers.report import CandidateReport, LayerReport
from keras_prune.reporting.numbers import number
from tflite_export.reporting import Shown


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedLayer(Shown):
    """Whether one layer or branch was removed, and why.

    Args:
        candidate: Its name, as in the analysis.
        kind: `"branch"`, `"layer"` or `"model"`.
        layers: Paths of its layers.
        parameters: Number of parameters that are removed with it.
        macs: Multiply-accumulates that are removed with it; None if they are unknown.
        score: Its importance, higher = keep; None if it was not ranked.
        rank: 1 = lowest score, so removed first; None likewise.
        of: How many were ranked.
        removed: Whether it was removed.
        reason: Why it was removed or kept.
    """

    candidate: str
    kind: str
    layers: tuple[str, ...]
    parameters: int
    macs: int | None
    score: float | None
    rank: int | None
    of: int
    removed: bool
    reason: str

    HEADINGS: ClassVar = ("Candidate", "Kind", "Layers", "Parameters", "MACs", "Score", "Rank", "State", "Why")

    @property
    def name(self) -> str:
        """The name of the candidate."""
        return self.candidate

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        return (
            self.candidate,
            self.kind,
            ", ".join(self.layers),
            f"{self.parameters:,}",
            number(self.macs),
            score_text(self.score),
            number(self.rank),
            "removed" if self.removed else "kept",
            self.reason,
        )

    def records(self) -> list[dict[str, Any]]:
        """Return the same as data: one record."""
        return [dataclasses.asdict(self)]


def explain_layers(report: LayerReport) -> tuple[ExplainedLayer, ...]:
    """Return whether each layer and branch that can be left out was removed, and why.

    Args:
        report: Of the pruning.
    """
    scored = [each for each in report.candidates if each.score is not None]
    order = ranks(np.array([each.score for each in scored], np.float64)).tolist()
    rank = {each.name: place for each, place in zip(scored, order, strict=True)}
    removed = sum(each.removed for each in scored)
    return tuple(
        ExplainedLayer(
            each.name,
            each.kind,
            each.layers,
            each.parameters,
            each.macs,
            each.score,
            rank.get(each.name),
            len(scored),
            each.removed,
            _reason(each, report, rank.get(each.name), removed),
        )
        for each in report.candidates
    )


def _reason(candidate: CandidateReport, report: LayerReport, rank: int | None, removed: int) -> str:
    """Why a candidate was removed or kept, of so many that were removed."""
    if candidate.note:
        return f"removed {candidate.note}" if candidate.removed else candidate.note
    if rank is None:
        return f"asked for by name: {report.asked}" if candidate.removed else "not asked for"
    if report.threshold is not None:
        value = score_text(report.threshold)
        if candidate.removed:
            return f"below the threshold {value}" if rank <= removed else "the rest of its branch was removed"
        return f"not below the threshold {value}"
    if candidate.removed:
        return f"one of the {removed} lowest scores" if rank <= removed else "the rest of its branch was removed"
    return "removing those of lower scores was enough" if removed else "no pruning was asked for"
