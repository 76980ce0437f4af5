"""`analyze_layers`: which layers and branches of a model can be removed, and why others cannot."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import keras

from keras_prune.costs.macs_change import unknown_macs_notes
from keras_prune.expansion.follow import follow
from keras_prune.expansion.report import lines_of
from keras_prune.graph.structure import Structure
from keras_prune.layers.blocks import BY_UNITS, find_blocks, innermost
from keras_prune.layers.candidates import Candidate, find_candidates
from keras_prune.layers.costs import RemovalCosts
from keras_prune.reporting.numbers import number
from tflite_export.reporting import Bars, Report, Table

Units = Literal["branches", "blocks"]


@dataclasses.dataclass(frozen=True, eq=False)
class LayerAnalysis(Report):
    """Layers and branches that can be removed from a model. Its `str` is a table.

    Args:
        model: Name of the model.
        candidates: What can be removed, in the order of the model. Those that are not `unranked` do not overlap.
        reasons: Why the other layers with weights cannot be removed, by path.
        fingerprint: The same for models that differ only in the values of their weights.
        structure: The graphs of the model.
        costs: Counts what the model costs without some of the candidates.
        units: What a ratio or budget chooses from: see `prune_layers`. Defaults to `"branches"`.
    """

    model: str
    candidates: tuple[Candidate, ...]
    reasons: Mapping[str, str]
    fingerprint: str
    structure: Structure
    costs: RemovalCosts
    units: Units = "branches"

    @property
    def ranked(self) -> tuple[Candidate, ...]:
        """The candidates that a ratio or budget chooses from."""
        if self.units == "branches":
            return tuple(candidate for candidate in self.candidates if not candidate.unranked)
        return tuple(innermost([each for each in self.candidates if each.kind in ("block", "model")]))

    def _tables(self) -> list[Table]:
        headings = ("Candidate", "Kind", "Layers", "Parameters", "MACs", "State")
        rows = [
            (
                each.name,
                each.kind,
                short_list(each.layers),
                f"{each.parameters:,}",
                number(each.macs),
                _state(each),
            )
            for each in self.candidates
        ]
        return [Table(headings, rows, f"What can be removed from '{self.model}'")]

    def _notes(self) -> list[str]:
        return [*unknown_macs_notes(self.costs.unknown), *reason_notes(self.reasons), *lines_of(self.structure.model)]

    def _rows(self) -> list[Mapping[str, Any]]:
        names = ("name", "kind", "layers", "parameters", "macs", "unranked")
        return [{name: getattr(each, name) for name in names} for each in self.candidates]

    def _facts(self) -> Mapping[str, Any]:
        facts = {name: getattr(self, name) for name in ("model", "fingerprint", "reasons")}
        return {**facts, "unknown_macs": self.costs.unknown}

    def _bars(self) -> Bars:
        names = [each.name for each in self.candidates]
        series = {"Parameters": [each.parameters for each in self.candidates]}
        return Bars(f"What can be removed from '{self.model}'", "parameters", names, series)


def analyze_layers(model: keras.Model) -> LayerAnalysis:
    """Find the layers, residual branches and models inside that can be removed from a model.

    A *layer* can be removed if it has one input and one output of the same shape. The normalisation, activation and
    dropout that follow it, and only it, are removed with it. A *branch* can be removed if a sum (`Add`, `+`, `-`,
    `CustomScaleLayer`) adds it to its own start, or to a shortcut with fewer layers from the same start; the shortcut
    is kept, with its projection if it has one. A *model* inside can be removed like a layer.

    Candidates may contain each other. A ratio or budget chooses from those that do not: the innermost branches,
    layers that are in none of these, and models that contain neither. The last layer before an output is not among
    them. All others are removed only by name.

    Of a subclassed model, which is written out as a graph (see `expand`), a *block* is what a custom layer was that
    maps a tensor to one of the same shape over at least one residual sum: it is removed whole, by its name, or with
    `units="blocks"` of `prune_layers`.

    Args:
        model: A built model, models in it included; see `expand` for those that are no graph. It is only read.

    Returns:
        A `LayerAnalysis`; print it for a table, `plot` it for bars.

    Raises:
        ValueError: The model is not built, has pruning masks, or cannot be written out.
        TypeError: `model` is no Keras model.

    Example:

    ```python
    analysis = analyze_layers(model)
    print(analysis)
    [candidate.name for candidate in analysis.ranked]
    ```
    """
    return analyze_units(model, "branches")


def analyze_units(model: keras.Model, units: Units) -> LayerAnalysis:
    """`analyze_layers`, for a ratio or budget that chooses from these units."""
    found = follow(model, apart=units == "blocks")
    model = found.model
    structure, costs = found.structure, RemovalCosts(found)
    candidates, reasons = find_candidates(structure)
    candidates += [dataclasses.replace(block, unranked=BY_UNITS) for block in find_blocks(structure)]
    candidates.sort(key=lambda each: structure.order[id(each.cuts[0].node)])
    counted = tuple(dataclasses.replace(each, macs=costs.macs(each.nodes)) for each in candidates)
    return LayerAnalysis(model.name, counted, reasons, _fingerprint(model, counted), structure, costs, units)


def _state(candidate: Candidate) -> str:
    if candidate.kind == "block":
        return candidate.unranked
    return f"only by name: {candidate.unranked}" if candidate.unranked else "free"


def short_list(names: tuple[str, ...], limit: int = 4) -> str:
    """The names, or the first and last of many."""
    if len(names) <= limit:
        return ", ".join(names)
    return f"{names[0]} ... {names[-1]} ({len(names)})"


def reason_notes(reasons: Mapping[str, str]) -> list[str]:
    """Lines for a report: the layers that cannot be removed, and why. Empty if there are none."""
    lines = [f"  '{path}': {reason}" for path, reason in reasons.items()]
    return ["Layers that are in no candidate:", *lines] if lines else []


def _fingerprint(model: keras.Model, candidates: tuple[Candidate, ...]) -> str:
    weights = [[weight.path.rsplit("/", 1)[-1], list(weight.shape)] for weight in model.weights]
    text = json.dumps([weights, [[each.name, each.kind, each.layers] for each in candidates]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
