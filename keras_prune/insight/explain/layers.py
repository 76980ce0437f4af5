"""Layers and branches that went."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from keras_prune.insight.explain.ranking import ranks, score_text
from keras_prune.layers.report import CandidateReport, LayerReport
from keras_prune.reporting.numbers import number


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedLayer:
    """What became of one layer or branch, and why.

    Args:
        candidate: Its name, as in the analysis.
        kind: `"branch"`, `"layer"` or `"model"`.
        layers: Paths of its layers.
        parameters: Number of weights that go with it.
        macs: Multiply-accumulates that go with it; None if they are not known.
        score: How much it matters, higher = keep; None if it was not ranked.
        rank: 1 = lowest score, so the first to go; None likewise.
        of: How many were ranked.
        removed: Whether it went.
        reason: Why it went or stayed.
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
        return self.candidate

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        return (
            self.candidate,
            self.kind,
            ", ".join(self.layers),
            f"{self.parameters:,}",
            number(self.macs),
            score_text(self.score),
            number(self.rank),
            "went" if self.removed else "stays",
            self.reason,
        )

    def records(self) -> list[dict[str, Any]]:
        """The same as data: one record."""
        return [dataclasses.asdict(self)]


def explain_layers(report: LayerReport) -> tuple[ExplainedLayer, ...]:
    """What became of each layer and branch that could go.

    Args:
        report: What was done.
    """
    scored = [each for each in report.candidates if each.score is not None]
    order = ranks(np.array([each.score for each in scored], np.float64)).tolist()
    rank = {each.name: place for each, place in zip(scored, order, strict=True)}
    went = sum(each.removed for each in scored)
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
            _reason(each, report, rank.get(each.name), went),
        )
        for each in report.candidates
    )


def _reason(candidate: CandidateReport, report: LayerReport, rank: int | None, went: int) -> str:
    if candidate.note:
        return f"went {candidate.note}" if candidate.removed else candidate.note
    if rank is None:
        return f"asked for by name: {report.asked}" if candidate.removed else "not asked for"
    if candidate.removed:
        return f"one of the {went} lowest scores" if rank <= went else "the rest of its branch went"
    return "those of lower scores were enough" if went else "nothing was asked for"
