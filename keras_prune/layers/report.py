"""What `prune_layers` did, for the model and for each candidate."""

import dataclasses
from collections.abc import Collection, Mapping

from keras_prune.costs.macs_change import MacsChange, ReportedMacs, unknown_macs_lines
from keras_prune.layers.analysis import LayerAnalysis, reason_lines, short_list
from keras_prune.layers.bypass import Left
from keras_prune.layers.candidates import Candidate
from keras_prune.reporting.numbers import change, number
from keras_prune.reporting.tables import table


@dataclasses.dataclass(frozen=True)
class CandidateReport:
    """What became of one candidate.

    Args:
        name: Its name, as in the analysis.
        kind: `"branch"`, `"layer"` or `"model"`.
        layers: Paths of its layers.
        parameters: Number of weights that go with it if it goes alone.
        macs: Multiply-accumulates that go with it; None if they are not known.
        score: How much it matters, higher = keep; None if it was not ranked.
        removed: Whether it went, alone or with another that it is part of.
        note: With which other it went, or why it was not considered.
    """

    name: str
    kind: str
    layers: tuple[str, ...]
    parameters: int
    macs: int | None
    score: float | None
    removed: bool
    note: str


@dataclasses.dataclass(frozen=True)
class LayerReport(ReportedMacs):
    """What `prune_layers` did. Its `str` is a table.

    Args:
        model: Name of the model.
        asked: What was asked for, as text.
        importance: What ranked the candidates; empty if nothing did.
        candidates: What became of each candidate.
        reasons: Why other layers with weights could not go, by path.
        parameters_before: Parameters of the original model.
        parameters_after: Parameters of the smaller one.
        macs: What became of the multiply-accumulates, and of which operations they are not known.
        layers_before: Number of layers, those in models inside counted each once.
        layers_after: Those left.
    """

    model: str
    asked: str
    importance: str
    candidates: tuple[CandidateReport, ...]
    reasons: Mapping[str, str]
    parameters_before: int
    parameters_after: int
    macs: MacsChange
    layers_before: int
    layers_after: int

    @property
    def removed(self) -> tuple[CandidateReport, ...]:
        """The candidates that went."""
        return tuple(candidate for candidate in self.candidates if candidate.removed)

    def __str__(self) -> str:
        headings = ("Candidate", "Kind", "Layers", "Parameters", "MACs", "Score", "State")
        rows = [
            (
                each.name,
                each.kind,
                short_list(each.layers),
                f"{each.parameters:,}",
                number(each.macs),
                "-" if each.score is None else f"{each.score:.4g}",
                ("removed" if each.removed else "kept") + (f": {each.note}" if each.note else ""),
            )
            for each in self.candidates
        ]
        text = table(f"Layers of '{self.model}'", headings, rows)
        text += f"\nAsked: {self.asked}"
        text += f"\nLayers: {self.layers_before} -> {self.layers_after}"
        text += f"\nParameters: {change(self.parameters_before, self.parameters_after)}\nMACs: {self.macs}"
        return text + unknown_macs_lines(self.macs.unknown) + reason_lines(self.reasons)


def make_report(
    analysis: LayerAnalysis,
    removed: Collection[Candidate],
    left: Left,
    asked: str,
    importance: str,
    scores: Mapping[str, float],
    skipped: Mapping[str, str],
) -> LayerReport:
    """The report of what was removed.

    Args:
        analysis: What could be.
        removed: What was.
        left: What is left.
        asked: What was asked for.
        importance: What ranked the candidates.
        scores: Of the candidates that were ranked, by name.
        skipped: Why ranked candidates could not go, by name.
    """
    structure = analysis.structure
    whole = Left(structure)
    before, after = analysis.costs.left(whole), analysis.costs.left(left)
    gone = {each.name: {id(node) for node in each.vanishing} for each in removed}
    rows = []
    for each in analysis.candidates:
        outer = [name for name, nodes in gone.items() if all(id(cut.node) in nodes for cut in each.cuts)]
        note = skipped.get(each.name) or (f"not ranked, {each.unranked}" if each.unranked and scores else "")
        if each.name not in gone and outer:
            note = f"with '{outer[0]}'"
        rows.append(
            CandidateReport(
                name=each.name,
                kind=each.kind,
                layers=each.layers,
                parameters=each.parameters,
                macs=each.macs,
                score=scores.get(each.name),
                removed=each.name in gone or bool(outer),
                note="" if each.name in gone else note,
            )
        )
    return LayerReport(
        model=analysis.model,
        asked=asked,
        importance=importance if scores else "",
        candidates=tuple(rows),
        reasons=analysis.reasons,
        parameters_before=before["params"] or 0,
        parameters_after=after["params"] or 0,
        macs=analysis.costs.macs_change(whole, left),
        layers_before=len(whole.layers()),
        layers_after=len(left.layers()),
    )
