"""`analyze_layers`: which layers and branches of a model can be removed, and why others cannot."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

import keras

from keras_prune.costs.macs_change import unknown_macs_lines
from keras_prune.graph.structure import Structure
from keras_prune.layers.candidates import Candidate, find_candidates
from keras_prune.layers.costs import DepthCosts
from keras_prune.reporting.numbers import number
from keras_prune.reporting.tables import table
from keras_prune.tracing.checks import check_model
from keras_prune.tracing.trace import trace


@dataclasses.dataclass(frozen=True, eq=False)
class LayerAnalysis:
    """What can be removed from a model. Its `str` is a table.

    Args:
        model: Name of the model.
        candidates: What can be removed, in the order of the model. Those that are not `unranked` do not overlap.
        reasons: Why the other layers with weights cannot go, by path.
        fingerprint: The same for models that differ in nothing but values.
        structure: The graphs of the model.
        costs: Counts what is left.
    """

    model: str
    candidates: tuple[Candidate, ...]
    reasons: Mapping[str, str]
    fingerprint: str
    structure: Structure
    costs: DepthCosts

    @property
    def ranked(self) -> tuple[Candidate, ...]:
        """The candidates that a ratio or budget chooses from."""
        return tuple(candidate for candidate in self.candidates if not candidate.unranked)

    def __str__(self) -> str:
        headings = ("Candidate", "Kind", "Layers", "Parameters", "MACs", "State")
        rows = [
            (
                each.name,
                each.kind,
                short_list(each.layers),
                f"{each.parameters:,}",
                number(each.macs),
                f"only by name: {each.unranked}" if each.unranked else "free",
            )
            for each in self.candidates
        ]
        text = table(f"What can be removed from '{self.model}'", headings, rows)
        return text + unknown_macs_lines(self.costs.unknown) + reason_lines(self.reasons)


def analyze_layers(model: keras.Model) -> LayerAnalysis:
    """Finds the layers, residual branches and models inside that can be removed from a model.

    A *layer* can go if it reads one tensor and gives one of the same shape. The normalisation, activation and dropout
    that follow it, and that nothing else is read through, go with it. A *branch* can go if a sum (`Add`, `+`, `-`,
    `CustomScaleLayer`) adds it to its own start, or to a shortcut with fewer layers from the same start; the shortcut
    stays, with its projection if it has one. A *model* inside can go as a layer can.

    Candidates may contain each other. A ratio or budget chooses from those that do not: the innermost branches,
    layers that are in none of these, and models that contain neither. The last layer before an output is not among
    them. All others are only removed if they are named.

    Args:
        model: A built Sequential or Functional model, models in it included. It is only read.

    Returns:
        A `LayerAnalysis`; print it for a table.

    Raises:
        ValueError: The model is not built, is subclassed, or has pruning masks.
        TypeError: `model` is no Keras model.

    Example:

    ```python
    analysis = analyze_layers(model)
    print(analysis)
    [candidate.name for candidate in analysis.ranked]
    ```
    """
    check_model(model)
    found = trace(model)
    structure, costs = found.structure, DepthCosts(found)
    candidates, reasons = find_candidates(structure)
    counted = tuple(dataclasses.replace(each, macs=costs.macs(each.nodes)) for each in candidates)
    return LayerAnalysis(model.name, counted, reasons, _fingerprint(model, counted), structure, costs)


def short_list(names: tuple[str, ...], limit: int = 4) -> str:
    """The names, or the first and last of many."""
    if len(names) <= limit:
        return ", ".join(names)
    return f"{names[0]} ... {names[-1]} ({len(names)})"


def reason_lines(reasons: Mapping[str, str]) -> str:
    """The layers that cannot go, a line each."""
    lines = [f"  '{path}': {reason}" for path, reason in reasons.items()]
    return "\n".join(["", "Layers that are in no candidate:", *lines]) if lines else ""


def _fingerprint(model: keras.Model, candidates: tuple[Candidate, ...]) -> str:
    weights = [[weight.path.rsplit("/", 1)[-1], list(weight.shape)] for weight in model.weights]
    text = json.dumps([weights, [[each.name, each.kind, each.layers] for each in candidates]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
