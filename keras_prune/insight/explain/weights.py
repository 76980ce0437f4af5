"""Removed weights: a model, and the same with zeros."""

import dataclasses
from typing import Any, ClassVar

import keras
import numpy as np

from keras_prune import _keras
from keras_prune import importance as importances
from keras_prune.importance import Importance
from keras_prune.insight.explain.pattern import find_patterns
from keras_prune.insight.explain.ranking import Cut, find_cut, ranks, score_text
from keras_prune.masking.layouts import find_axes
from keras_prune.masking.masked_weights import MaskedWeight, find_masked, inner_layer, walk_layers
from keras_prune.masking.prunable import find_prunable
from keras_prune.masking.wrapping import add_masks
from keras_prune.measurement.weight_statistics import ModelStatistics, SingleWeights
from keras_prune.reporting.progress import track
from keras_prune.selection.layout import Axes
from tflite_export.reporting import Shown


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedWeight(Shown):
    """What was removed of one weight array, and why.

    Args:
        layer: Path of the layer: `"encoder/conv1"`.
        weight: Name of the weight in its layer: `"kernel"`.
        scores: The score of each entry, higher = keep: float array in the shape of the weight.
        pruned: Boolean array of the same shape: which entries were removed.
        alive: Boolean array: which entries were not zero already in the original model.
        axes: How the weight is a matrix.
        cut: The boundary between the scores removed and kept.
        reason: Why these were removed.
    """

    layer: str
    weight: str
    scores: np.ndarray
    pruned: np.ndarray
    alive: np.ndarray
    axes: Axes
    cut: Cut
    reason: str

    HEADINGS: ClassVar = (
        "Weight",
        "Shape",
        "Entries",
        "Removed",
        "Share removed",
        "Highest score removed",
        "Lowest score kept",
        "Overlap",
        "Why",
    )

    @property
    def name(self) -> str:
        """Path of the weight: `"encoder/conv1/kernel"`."""
        return f"{self.layer}/{self.weight}"

    @property
    def kept(self) -> np.ndarray:
        """Boolean array: which entries were kept."""
        return self.alive & ~self.pruned

    @property
    def share(self) -> float:
        """Fraction of the entries that was removed; those that were zero before do not count."""
        return self.cut.removed / self.pruned.size

    @property
    def ranks(self) -> np.ndarray:
        """The rank of each entry, 1 = lowest score, in the shape of the weight; 0 where it was zero before."""
        found = np.zeros(self.scores.shape, np.int64)
        found[self.alive] = ranks(self.scores[self.alive])
        return found

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        cut = self.cut
        return (
            self.name,
            "x".join(map(str, self.pruned.shape)),
            f"{self.pruned.size:,}",
            f"{cut.removed:,}",
            f"{self.share:.1%}",
            score_text(cut.highest_removed),
            score_text(cut.lowest_kept),
            f"{cut.overlap:,}",
            self.reason,
        )

    def records(self) -> list[dict[str, Any]]:
        """Return the same as data: one record."""
        return [
            {
                "layer": self.layer,
                "weight": self.weight,
                "shape": self.pruned.shape,
                "size": self.pruned.size,
                "zeros_before": int(np.count_nonzero(~self.alive)),
                **dataclasses.asdict(self.cut),
                "reason": self.reason,
            }
        ]


def explain_weights(
    before: keras.Model, after: keras.Model, importance: str | Importance, data: Any, loss: Any
) -> tuple[ExplainedWeight, ...]:
    """Return what was removed of each prunable weight array of a model.

    Args:
        before: The original model.
        after: The same with zeros, or with masks.
        importance: The importance criterion.
        data: What it is measured on.
        loss: Likewise.

    Raises:
        ValueError: The weights cannot be scored.
    """
    function = importances.weight_scorer(importance)
    scored, statistics = _scored(before, after, importance, data, loss)
    sides = list(zip(_weights(before), _weights(after), scored, strict=True))
    parts = []
    for weight, new, unit in track(sides, len(sides), "Scores of weights"):
        alive = weight.kept()
        pruned = alive & ~new.kept()
        scores = np.array(function(SingleWeights(unit), statistics))
        if not np.isfinite(scores).all():
            raise ValueError(f"Scores must be finite. Received: NaN or infinite ones of '{weight.path}'")
        cut = find_cut(scores[alive], pruned[alive])
        axes = find_axes(weight.held.layer, weight.held.name, pruned.ndim)
        parts.append(ExplainedWeight(weight.layer, weight.name, scores, pruned, alive, axes, cut, ""))
    together = _cut_together(parts)
    return tuple(dataclasses.replace(part, reason=_reason(part, together)) for part in parts)


def has_same_shapes(before: keras.Model, after: keras.Model) -> bool:
    """Return whether both models have the same prunable weights, of the same shapes."""
    old, new = ([tuple(each.weight.shape) for each in _weights(side)] for side in (before, after))
    return old == new


def _weights(model: keras.Model) -> list[MaskedWeight]:
    """The prunable weights; where there is no mask, the zeros of the weight stand for it.

    Copies of a model are matched by this order: Keras numbers layers that were given no name, so names may differ.
    """
    masked = {id(each.weight): each for each in find_masked(model)}
    return [
        masked.get(id(held.weight)) or MaskedWeight(path, name, held.weight, held.weight, held)
        for path, layer in walk_layers(model)
        for name, held in find_prunable(inner_layer(layer)).held.items()
    ]


def _scored(
    before: keras.Model, after: keras.Model, importance: str | Importance, data: Any, loss: Any
) -> tuple[list[MaskedWeight], ModelStatistics | None]:
    """The weights that are scored, and their statistics."""
    if importance == "random":
        raise ValueError("Random scores are drawn again each time: they explain nothing. Received: importance='random'")
    if importance == "movement":  # it is accumulated in the model that was trained
        return _weights(after), ModelStatistics(after)
    if importances.needs_data(importance):
        if data is None:
            raise ValueError(
                f"This importance is measured on data: pass `data`. Received: importance={importance!r}, data=None"
            )
        masked = bool(find_masked(before))
        if not masked and not _keras.is_graph(before):
            raise ValueError(
                "Such an importance is measured on a copy with masks, and a subclassed model cannot be copied. "
                f"Received: '{before.name}' of class {type(before).__name__} with importance={importance!r}"
            )
        model = before if masked else add_masks(before)
        return _weights(model), ModelStatistics(model, data, loss, compiled=before)
    return _weights(before), None


def _cut_together(parts: list[ExplainedWeight]) -> bool:
    """Whether one threshold explains what was removed of all weights."""
    touched = [part for part in parts if part.cut.removed]
    if len(touched) < 2 or any(part.cut.overlap for part in touched):
        return False
    highest = max(part.cut.highest_removed for part in touched if part.cut.highest_removed is not None)
    return all(part.cut.lowest_kept is None or part.cut.lowest_kept >= highest for part in touched)


def _reason(part: ExplainedWeight, together: bool) -> str:
    """Why these were removed."""
    cut = part.cut
    if not cut.removed:
        return "nothing was removed"
    if together:
        return "the lowest scores of all weights together"
    if not cut.overlap:
        return f"its {cut.removed:,} lowest scores"
    patterns = list(find_patterns(part.kept, part.axes))
    for pattern in patterns:
        if pattern.explains(part.scores, part.kept, part.alive, part.axes):
            return f"the lowest scores in a {pattern.text}"
    where = f"a {patterns[0].text}; " if patterns else ""
    return (
        f"{where}{cut.overlap:,} of them are not among the {cut.removed:,} lowest scores: another criterion decided, "
        "or the model was trained in between"
    )
