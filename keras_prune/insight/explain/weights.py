"""Single weights that went: a model, and the same with zeros."""

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
from keras_prune.masking.wrapping import wrap_pruning
from keras_prune.measurement.weight_statistics import ModelStatistics, SingleWeights
from keras_prune.reporting.progress import track
from keras_prune.selection.layout import Axes


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedWeight:
    """What went of one weight array, and why.

    Args:
        layer: Path of the layer: `"encoder/conv1"`.
        weight: Name of the weight in its layer: `"kernel"`.
        scores: The score of each entry, higher = keep: float array in the shape of the weight.
        gone: Boolean array of the same shape: which entries went.
        alive: Boolean array: which were not zero already in the model before.
        axes: How the weight is a matrix.
        cut: Where the scores were cut.
        reason: Why these went.
    """

    layer: str
    weight: str
    scores: np.ndarray
    gone: np.ndarray
    alive: np.ndarray
    axes: Axes
    cut: Cut
    reason: str

    HEADINGS: ClassVar = (
        "Weight",
        "Shape",
        "Of",
        "Went",
        "Share",
        "Highest went",
        "Lowest kept",
        "Overlap",
        "Why",
    )

    @property
    def name(self) -> str:
        return f"{self.layer}/{self.weight}"

    @property
    def kept(self) -> np.ndarray:
        """Boolean array: which entries are left."""
        return self.alive & ~self.gone

    @property
    def share(self) -> float:
        """Fraction of the entries that went; those that were zero before do not count as gone."""
        return self.cut.removed / self.gone.size

    @property
    def ranks(self) -> np.ndarray:
        """The rank of each entry, 1 = lowest score, in the shape of the weight; 0 where it was zero before."""
        found = np.zeros(self.scores.shape, np.int64)
        found[self.alive] = ranks(self.scores[self.alive])
        return found

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        cut = self.cut
        return (
            self.name,
            "x".join(map(str, self.gone.shape)),
            f"{self.gone.size:,}",
            f"{cut.removed:,}",
            f"{self.share:.1%}",
            score_text(cut.highest_removed),
            score_text(cut.lowest_kept),
            f"{cut.overlap:,}",
            self.reason,
        )

    def records(self) -> list[dict[str, Any]]:
        """The same as data: one record."""
        return [
            {
                "layer": self.layer,
                "weight": self.weight,
                "shape": self.gone.shape,
                "size": self.gone.size,
                "zeros_before": int(np.count_nonzero(~self.alive)),
                **dataclasses.asdict(self.cut),
                "reason": self.reason,
            }
        ]


def explain_weights(
    before: keras.Model, after: keras.Model, importance: str | Importance, data: Any, loss: Any
) -> tuple[ExplainedWeight, ...]:
    """What went of each prunable weight array of a model.

    Args:
        before: The model.
        after: The same with zeros, or with masks.
        importance: How the weights are scored.
        data: What that is measured on.
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
        gone = alive & ~new.kept()
        scores = np.array(function(SingleWeights(unit), statistics))
        if not np.isfinite(scores).all():
            raise ValueError(f"Scores must be finite. Received: NaN or infinite ones of '{weight.path}'")
        cut = find_cut(scores[alive], gone[alive])
        axes = find_axes(weight.held.layer, weight.held.name, gone.ndim)
        parts.append(ExplainedWeight(weight.layer, weight.name, scores, gone, alive, axes, cut, ""))
    together = _cut_together(parts)
    return tuple(dataclasses.replace(part, reason=_reason(part, together)) for part in parts)


def has_same_shapes(before: keras.Model, after: keras.Model) -> bool:
    """Whether both have the same prunable weights, of the same shapes."""
    old, new = ([tuple(each.weight.shape) for each in _weights(side)] for side in (before, after))
    return old == new


def _weights(model: keras.Model) -> list[MaskedWeight]:
    """The prunable weights; where there is no mask, the weight says itself what is zero.

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
    """The weights that are scored, and what is measured of them."""
    if importance == "random":
        raise ValueError(
            "Scores of chance are drawn anew each time: they explain nothing. Received: importance='random'"
        )
    if importance == "movement":  # it is added up in the model that was trained
        return _weights(after), ModelStatistics(after)
    if importances.needs_data(importance):
        if data is None:
            raise ValueError(
                f"This importance is measured on data: pass `data`. Received: importance={importance!r}, data=None"
            )
        masked = bool(find_masked(before))
        if not masked and not _keras.is_graph(before):
            raise ValueError(
                "What data tell is measured on a copy with masks, and a subclassed model cannot be copied. "
                f"Received: '{before.name}' of class {type(before).__name__} with importance={importance!r}"
            )
        model = before if masked else wrap_pruning(before)
        return _weights(model), ModelStatistics(model, data, loss, compiled=before)
    return _weights(before), None


def _cut_together(parts: list[ExplainedWeight]) -> bool:
    """Whether one threshold explains what went of all weights."""
    touched = [part for part in parts if part.cut.removed]
    if len(touched) < 2 or any(part.cut.overlap for part in touched):
        return False
    highest = max(part.cut.highest_removed for part in touched if part.cut.highest_removed is not None)
    return all(part.cut.lowest_kept is None or part.cut.lowest_kept >= highest for part in touched)


def _reason(part: ExplainedWeight, together: bool) -> str:
    cut = part.cut
    if not cut.removed:
        return "nothing went"
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
        "or training in between"
    )
