"""How much a channel matters: a score from each weight that belongs to it, combined over its group."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.channels.statistics import ChannelStatistics
from keras_prune.importance.from_weights import l2
from keras_prune.importance.random import Random, drawn_seed
from keras_prune.importance.registry import CRITERIA, names, takes_statistics
from keras_prune.tracing.binding import Binding
from keras_prune.tracing.labels import FIXED

Score = Callable[[Binding], np.ndarray | None] | Callable[[Binding, ChannelStatistics], np.ndarray | None]
Combine = Literal["mean", "sum", "max"]
Normalize = Literal["auto", "mean", "max", "none"]

_COMBINE: dict[str, Callable[..., np.ndarray]] = {"mean": np.nanmean, "sum": np.nansum, "max": np.nanmax}


@dataclasses.dataclass(frozen=True)
class ChannelImportance:
    """How channels are scored.

    | `score` | needs | what it computes for a channel | source |
    |---|---|---|---|
    | `"l2"` | | Euclidean norm of the weights that make it | Li et al. 2017 |
    | `"l1"` | | sum of their absolute values | Li et al. 2017 |
    | `"fpgm"` | | sum of the distances of its filter to those of the layer | He et al. 2019 |
    | `"lamp"` | | its squared norm, over that of itself and all larger ones | Lee et al. 2021 |
    | `"batch_norm_scale"` | | the absolute scale in BatchNormalization | Liu et al. 2017 |
    | `"random"` | | chance, after `keras.utils.set_random_seed` | |
    | `"mean_activation"` | data | mean absolute value that the next layer reads | Molchanov et al. 2017 |
    | `"apoz"` | data | fraction of those values that are above zero | Hu et al. 2016 |
    | `"entropy"` | data | entropy of its mean value in a sample | Luo and Wu 2017 |
    | `"activation_weight"` | data | mean absolute value, times the absolute weights that read it | |
    | `"wanda"` | data | the same with the root of the mean square | Sun et al. 2023 |
    | `"taylor"` | data, loss | change of the loss without it, to first order | Molchanov et al. 2017, 2019 |
    | `"snip"` | data, loss | the same, with the gradient over all the data | Lee et al. 2019 |
    | `"fisher"` | data, loss | to second order, at a minimum of the loss | Theis et al. 2018 |
    | `"loss_change"` | data, loss | real change of the loss: an evaluation for each channel | Molchanov et al. 2017 |

    A function of your own takes a `Binding`, an axis of a weight, and, if it has a second argument without a default, a
    `ChannelStatistics`, which measures on `data` what it is asked for. It returns one score for each position along the
    axis, higher = keep, or None where it has nothing to say. Channels of which it says nothing are ordered by `"l2"`,
    and are worth as much, on average, as the others of their group.

    Args:
        score: One of the names above, or a function `binding -> scores` or `(binding, statistics) -> scores`.
        combine: How the scores of the layers that share a channel become one: `"mean"`, `"sum"` or `"max"`. In one
            weight a channel may have several positions, as behind a `Flatten` or in the gates of an LSTM: their mean
            counts.
        normalize: Divide the scores of each weight by their `"mean"` or `"max"` first, so that layers of larger weights
            do not drown the others in a group, and groups can be compared in `scope="global"`; or `"none"`. `"auto"` is
            `"none"` for `"lamp"`, `"taylor"`, `"fisher"`, `"snip"`, `"apoz"`, `"entropy"` and `"loss_change"`, whose
            scores mean the same in every layer, and `"mean"` for all others.

    Raises:
        ValueError: Another value.

    Example:

    ```python
    def largest(binding):
        return abs(binding.slices()).max(axis=1) if binding.makes else None

    def steady(binding, statistics):
        samples = statistics.samples(binding)
        return None if samples is None else samples.std(axis=0)

    prune_channels(model, 0.5, importance=ChannelImportance(largest, combine="max"))
    prune_channels(model, 0.5, importance=steady, data=x)
    prune_channels(model, 0.5, importance="taylor", data=(x, y), loss="mse", scope="global")
    ```
    """

    score: str | Score = "l2"
    combine: Combine = "mean"
    normalize: Normalize = "auto"

    def __post_init__(self) -> None:
        if not callable(self.score) and not (isinstance(self.score, str) and self.score in names("channels")):
            raise ValueError(
                f"`importance` must be one of {sorted(names('channels'))}, a function `binding -> scores` or "
                "`(binding, statistics) -> scores`, or a `ChannelImportance`. "
                f"Received: importance={self.score!r}"
            )
        if self.combine not in ("mean", "sum", "max"):
            raise ValueError(f'`combine` must be "mean", "sum" or "max". Received: combine={self.combine!r}')
        if self.normalize not in ("auto", "mean", "max", "none"):
            raise ValueError(
                f'`normalize` must be "auto", "mean", "max" or "none". Received: normalize={self.normalize!r}'
            )

    def function(self) -> Callable[[Binding, ChannelStatistics], np.ndarray | None]:
        """The function behind `score`; random scores start afresh."""
        if self.score == "random":
            found: Any = Random(drawn_seed())
        else:
            found = CRITERIA[self.score].function if isinstance(self.score, str) else self.score
        return found if takes_statistics(found) else lambda binding, statistics: found(binding)

    def scale(self) -> Normalize:
        """What the scores of each weight are divided by: `normalize`, decided."""
        if self.normalize != "auto":
            return self.normalize
        return "none" if isinstance(self.score, str) and CRITERIA[self.score].comparable else "mean"


def score_groups(
    analysis: ChannelAnalysis, importance: ChannelImportance, model: keras.Model, data: Any = None, loss: Any = None
) -> dict[str, np.ndarray]:
    """The scores of the channels of each group of which some can go, by name of the group.

    Args:
        analysis: The channels of the model.
        importance: How they are scored.
        model: The model. It is only read.
        data: What an importance that needs data is measured on; see `prune_channels`.
        loss: The loss of those that need one.

    Raises:
        ValueError: The importance returned scores of another size, or not finite; it needs data or a loss that is not
            there; or the data do not fit the model.
        TypeError: `data` holds no batches.
    """
    score, statistics = importance.function(), ChannelStatistics(analysis, model, data, loss)
    return {
        group.name: _score(group, lambda binding: score(binding, statistics), importance)
        for group in analysis.groups
        if not group.frozen
    }


def _score(group: ChannelGroup, score: Callable[[Binding], Any], importance: ChannelImportance) -> np.ndarray:
    scores, said = _combine(group, score, importance.combine, importance.scale())
    if not said.all():
        others, _ = _combine(group, l2, importance.combine, "mean")
        scale = scores[said].mean() / max(others[said].mean(), 1e-30) if said.any() else 1.0
        scores = np.where(said, scores, others * scale)
    return scores


def _combine(
    group: ChannelGroup, score: Callable[[Binding], Any], combine: Combine, scale: Normalize
) -> tuple[np.ndarray, np.ndarray]:
    """The score of each channel, and whether anything was said of it."""
    rows = np.full((len(group.members), group.size), np.nan)
    for row, binding in zip(rows, group.members, strict=True):
        scores = score(binding)
        if scores is None:
            continue
        scores = np.asarray(scores, dtype=np.float64)
        mine = binding.labels != FIXED
        if scores.shape != binding.labels.shape or not np.isfinite(scores[mine]).all():
            raise ValueError(
                "An importance must return one finite score for each position along the binding's axis. Received: "
                f"scores of shape {scores.shape} for {len(binding.labels)} positions of '{binding.layer}', or not "
                "finite"
            )
        places = np.searchsorted(group.channels, binding.labels[mine])
        counts = np.bincount(places, minlength=group.size)
        sums = np.bincount(places, scores[mine], minlength=group.size)
        row[counts > 0] = sums[counts > 0] / counts[counts > 0]
        if scale != "none":
            row /= float(_COMBINE[scale](np.abs(row))) or 1.0
    said = ~np.isnan(rows).all(axis=0)
    found = rows[:, said]
    scores = np.zeros(group.size)
    if said.any():
        scores[said] = _COMBINE[combine](found, axis=0)
    return scores, said
