"""`LayerReport`: the model before and after `prune_layers`, and every candidate, removed or not."""

import dataclasses
from collections.abc import Collection, Mapping

from keras_prune.costs.budget import BudgetRow, budget_table
from keras_prune.costs.macs_change import MacsChange, ReportedMacs, unknown_macs_notes
from keras_prune.expansion.report import lines_of
from keras_prune.layers.analysis import LayerAnalysis, reason_notes, short_list
from keras_prune.layers.bypass import Left
from keras_prune.layers.candidates import Candidate
from keras_prune.reconstruction.refitting.layer_refit import LayerRefit, refit_notes, refit_table
from keras_prune.reporting.numbers import change, number
from tflite_export.reporting import Bars, Report, Shown, Table


@dataclasses.dataclass(frozen=True)
class CandidateReport(Shown):
    """One candidate, removed or not.

    Args:
        name: Its name, as in the analysis.
        kind: `"branch"`, `"layer"` or `"model"`.
        layers: Paths of its layers.
        parameters: Number of weights that are removed with it if it is removed alone.
        macs: Multiply-accumulates that are removed with it; None if they are unknown.
        score: Its importance, higher = keep; None if it was not ranked.
        removed: Whether it was removed, alone or with another that it is part of.
        note: With which other it was removed, or why it was not considered; else empty.
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
class LayerReport(ReportedMacs, Report):
    """Report of `prune_layers`. Its `str` is a table.

    Args:
        model: Name of the model.
        asked: What was asked for, as text.
        importance: The criterion that ranked the candidates; empty if none did.
        candidates: Each candidate, removed or not.
        reasons: Why other layers with weights cannot be removed, by path.
        parameters_before: Parameters of the original model.
        parameters_after: Parameters of the smaller one.
        macs: Multiply-accumulates before and after, and for which operations they are unknown.
        layers_before: Number of layers of the original model, each layer of models inside counted once.
        layers_after: Number of layers of the smaller one, likewise.
        budgets: What was asked for and reached of each value of the budget. Defaults to none: there was no budget.
        missed: What was asked for and not reached, a sentence each; the report begins with them. Defaults to none.
        threshold: The score below which candidates should be removed. Defaults to None: no threshold was asked for.
        expanded: If the model was first written out as a graph, what became of its custom layers, a line each. Defaults
            to none.
        compensated: The layers that were fitted again, or should have been, in the order of the graph; none if each
            layer computes what it did. Defaults to None: nothing was compensated.
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
    budgets: tuple[BudgetRow, ...] = ()
    missed: tuple[str, ...] = ()
    threshold: float | None = None
    expanded: tuple[str, ...] = ()
    compensated: tuple[LayerRefit, ...] | None = None

    @property
    def removed(self) -> tuple[CandidateReport, ...]:
        """The candidates that were removed."""
        return tuple(candidate for candidate in self.candidates if candidate.removed)

    def _tables(self) -> list[Table]:
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
        return [
            Table(headings, rows, f"Layers of '{self.model}'"),
            *budget_table(self.budgets),
            *refit_table(self.compensated),
        ]

    def _notes(self) -> list[str]:
        return [
            f"Asked: {self.asked}",
            f"Layers: {self.layers_before} -> {self.layers_after}",
            f"Parameters: {change(self.parameters_before, self.parameters_after)}",
            f"MACs: {self.macs}",
            *unknown_macs_notes(self.macs.unknown),
            *reason_notes(self.reasons),
            *refit_notes(self.compensated),
            *self.expanded,
        ]

    def _rows(self) -> tuple[CandidateReport, ...]:
        return self.candidates

    def _bars(self) -> Bars:
        sizes = {
            "Layers": (self.layers_before, self.layers_after),
            "Parameters": (self.parameters_before, self.parameters_after),
            "MACs": (self.macs_before, self.macs_after),
        }
        known = {name: pair for name, pair in sizes.items() if pair[0] and pair[1] is not None}
        after = [100 * (now or 0) / (before or 1) for before, now in known.values()]
        series = {"Before": [100.0] * len(known), "After": after}
        return Bars(f"'{self.model}' without some layers", "percent of the original", list(known), series)


def make_report(
    analysis: LayerAnalysis,
    removed: Collection[Candidate],
    left: Left,
    asked: str,
    importance: str,
    scores: Mapping[str, float],
    skipped: Mapping[str, str],
    budgets: tuple[BudgetRow, ...] = (),
    missed: tuple[str, ...] = (),
    threshold: float | None = None,
    compensated: tuple[LayerRefit, ...] | None = None,
) -> LayerReport:
    """Return the report of a removal.

    Args:
        analysis: What could be removed.
        removed: The candidates that were.
        left: The rest of the model.
        asked: What was asked for.
        importance: The criterion that ranked the candidates.
        scores: Of the candidates that were ranked, by name.
        skipped: Why ranked candidates could not be removed, by name.
        budgets: What was reached of each value of the budget. Defaults to none.
        missed: What was asked for and not reached. Defaults to none.
        threshold: The score below which candidates should be removed. Defaults to None: there was none.
        compensated: The layers that were fitted again. Defaults to None: nothing was compensated.
    """
    structure = analysis.structure
    whole = Left(structure)
    before, after = analysis.costs.left(whole), analysis.costs.left(left)
    gone = {each.name: {id(node) for node in each.vanishing} for each in removed}
    rows = []
    for each in analysis.candidates:
        outer = [name for name, nodes in gone.items() if all(id(cut.node) in nodes for cut in each.cuts)]
        unranked = each.unranked if scores and each.name not in scores else ""
        note = skipped.get(each.name) or (f"not ranked, {unranked}" if unranked else "")
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
        budgets=budgets,
        missed=missed,
        threshold=threshold,
        expanded=lines_of(structure.model),
        compensated=compensated,
    )
