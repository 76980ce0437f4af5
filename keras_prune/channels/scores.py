"""Scores of channels by an importance criterion: one from each weight of a channel, combined over its group."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, get_args

import keras
import numpy as np

from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.channels.statistics import ChannelStatistics
from keras_prune.importance.from_weights import l2
from keras_prune.importance.protocols import Statistics
from keras_prune.importance.random import Random, drawn_seed
from keras_prune.importance.registry import CRITERIA, names, takes_statistics
from keras_prune.tracing.binding import Binding
from keras_prune.tracing.labels import FIXED
from keras_prune.validation import check_choice, check_finite

Score = Callable[[Binding], np.ndarray | None] | Callable[[Binding, ChannelStatistics], np.ndarray | None]
Combine = Literal["mean", "sum", "max"]
Normalize = Literal["auto", "mean", "max", "none"]

_COMBINE: dict[str, Callable[..., np.ndarray]] = {"mean": np.nanmean, "sum": np.nansum, "max": np.nanmax}


@dataclasses.dataclass(frozen=True)
class ChannelImportance:
    """Importance criterion for channels, and how the scores of the layers that share a channel are combined.

    | `score` | needs | score of a channel `y`, made by weights `m`, read by weights `r` | comparable | source |
    |---|---|---|---|---|
    | `"l2"` | | `sqrt(sum m²)` | | Li et al. 2017 |
    | `"l1"` | | `sum abs(m)` | | Li et al. 2017 |
    | `"lamp"` | | `n² / sum k²`, `n` its norm, over all norms `k >= n` of the layer | yes | Lee et al. 2021 |
    | `"fpgm"` | | `sum ‖m - f‖`, over all filters `f` of the layer | | He et al. 2019 |
    | `"batch_norm_scale"` | | `abs(gamma)` of its BatchNormalization | | Liu et al. 2017 |
    | `"random"` | | uniform in [0, 1), seeded by `keras.utils.set_random_seed` | | |
    | `"wanda"` | data | `sqrt(mean y²) · sum abs(r)` | | Sun et al. 2023 |
    | `"activation_weight"` | data | `mean abs(y) · sum abs(r)` | | |
    | `"mean_activation"` | data | `mean abs(y)` | | Molchanov et al. 2017 |
    | `"apoz"` | data | fraction of `y > 0` | yes | Hu et al. 2016 |
    | `"entropy"` | data | entropy, over the samples, of the mean `y` in a sample | yes | Luo and Wu 2017 |
    | `"reconstruction"` | data | error of the layers that read it, fitted again without it | yes | He et al. 2017 |
    | `"taylor"` | data, loss | `mean abs(sum r·∂loss/∂r)` | yes | Molchanov et al. 2017, 2019 |
    | `"snip"` | data, loss | `abs(mean sum r·∂loss/∂r)` | yes | Lee et al. 2019 |
    | `"fisher"` | data, loss | `mean (sum r·∂loss/∂r)² / 2` | yes | Theis et al. 2018 |
    | `"loss_change"` | data, loss | `abs(loss(r = 0) - loss)`, one evaluation each | yes | Molchanov et al. 2017 |

    Comparable are scores that mean the same in every layer: a fraction, or a change of the loss. A custom function
    takes a `Binding`, an axis of a weight, and, if it has a second argument without a default, a `ChannelStatistics`,
    which measures on `data` what it is asked for. It returns one score for each position along the axis, higher = keep,
    or None where the criterion does not apply. Channels without a score are ordered by `"l2"`, and their mean score is
    set to that of the others of their group.

    Args:
        score: One of the names above, or a function `binding -> scores` or `(binding, statistics) -> scores`. Defaults
            to `"l2"`.
        combine: How the scores of the layers that share a channel become one: `"mean"`, `"sum"` or `"max"`. In one
            weight a channel may have several positions, as after a `Flatten` or in the gates of an LSTM: their scores
            are averaged. Defaults to `"mean"`.
        normalize: Divide the scores of each weight by their `"mean"` or `"max"` first, so that layers of larger weights
            do not dominate the others of a group, and groups can be compared in `scope="global"`; or `"none"`. Defaults
            to `"auto"`: `"none"` for criteria whose scores are comparable, `"mean"` for all others.

    Raises:
        ValueError: An unknown name or value.

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
        check_choice(self.combine, "combine", get_args(Combine))
        check_choice(self.normalize, "normalize", get_args(Normalize))

    def function(self) -> Callable[[Binding, Statistics], np.ndarray | None]:
        """The function behind `score`; random scores are drawn again."""
        if self.score == "random":
            found: Any = Random(drawn_seed())
        else:
            found = CRITERIA[self.score].function if isinstance(self.score, str) else self.score
        return found if takes_statistics(found) else lambda binding, statistics: found(binding)

    def scale(self) -> Normalize:
        """What the scores of each weight are divided by: `normalize`, with `"auto"` resolved."""
        if self.normalize != "auto":
            return self.normalize
        return "none" if isinstance(self.score, str) and CRITERIA[self.score].compares_layers("channels") else "mean"


def score_groups(
    analysis: ChannelAnalysis, importance: ChannelImportance, model: keras.Model, data: Any = None, loss: Any = None
) -> dict[str, np.ndarray]:
    """Return the scores of the channels of each group that can be pruned, by name of the group.

    Args:
        analysis: The channels of the model.
        importance: How they are scored.
        model: The model. It is only read.
        data: What an importance criterion that needs data is measured on; see `prune_channels`. Defaults to None.
        loss: The loss of criteria that need one. Defaults to None: the one that the model was compiled with.

    Raises:
        ValueError: A weight of a channel is NaN or infinite; the criterion returned scores of another size, or not
            finite; it needs data or a loss, which are missing; or the data do not fit the model.
        TypeError: `data` holds no batches.
    """
    for binding in _weights(analysis).values():
        check_finite(binding.slices(), "Weights", f"{binding.layer}/{binding.name}")
    statistics: Statistics = ChannelStatistics(analysis, model, data, loss)
    score = importance.function()
    return {
        group.name: _score(group, lambda binding: score(binding, statistics), importance)
        for group in analysis.groups
        if not group.frozen
    }


def _weights(analysis: ChannelAnalysis) -> dict[int, Binding]:
    """The weights of the channels that can be pruned, by their `id`, each as one of its axes."""
    members = (member for group in analysis.groups if not group.frozen for member in group.members)
    return {id(member.weight): member for member in members}


def _score(group: ChannelGroup, score: Callable[[Binding], Any], importance: ChannelImportance) -> np.ndarray:
    """The scores of a group; channels without one are ordered by `l2`."""
    scores, scored = _combine(group, score, importance.combine, importance.scale())
    if not scored.all():
        others, _ = _combine(group, l2, importance.combine, "mean")
        scale = scores[scored].mean() / max(others[scored].mean(), 1e-30) if scored.any() else 1.0
        scores = np.where(scored, scores, others * scale)
    return scores


def _combine(
    group: ChannelGroup, score: Callable[[Binding], Any], combine: Combine, scale: Normalize
) -> tuple[np.ndarray, np.ndarray]:
    """The score of each channel, and whether it has one."""
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
    scored = ~np.isnan(rows).all(axis=0)
    scores = np.zeros(group.size)
    if scored.any():
        scores[scored] = _COMBINE[combine](rows[:, scored], axis=0)
    return scores, scored
