"""How much a channel matters: a score from each weight that makes it, combined over its group."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from keras_prune.channels.binding import Binding
from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.channels.labels import FIXED

Score = Callable[[Binding], np.ndarray | None]


def l1(binding: Binding) -> np.ndarray | None:
    """Sum of the absolute weights of a filter (Li et al. 2017, "Pruning filters for efficient convnets")."""
    return np.abs(binding.slices()).sum(axis=1) if _makes(binding) else None


def l2(binding: Binding) -> np.ndarray | None:
    """Euclidean norm of the weights of a filter."""
    return np.sqrt(np.square(binding.slices()).sum(axis=1)) if _makes(binding) else None


def batch_norm_scale(binding: Binding) -> np.ndarray | None:
    """The scale that BatchNormalization gives a channel (Liu et al. 2017, "Network slimming")."""
    is_scale = "BatchNormalization" in binding.kind and binding.name.endswith("gamma")
    return np.abs(binding.slices())[:, 0] if is_scale else None


class Random:
    """Chance: the control that any importance must beat.

    Args:
        seed: The same scores for the same seed, from a new instance.
    """

    def __init__(self, seed: int | None = None):
        self._rng = np.random.default_rng(seed)

    def __call__(self, binding: Binding) -> np.ndarray | None:
        return self._rng.random(len(binding.labels)) if _makes(binding) else None


@dataclasses.dataclass(frozen=True)
class ChannelImportance:
    """How channels are scored.

    Args:
        score: `"l2"`, `"l1"`, `"batch_norm_scale"`, `"random"`, or a function `binding -> scores`: one score for each
            position along the binding's axis, higher = keep, or None where the function has nothing to say. A group
            in which it says nothing is scored by `"l2"`.
        combine: How the scores of the layers that share a channel become one: `"mean"`, `"sum"` or `"max"`.
        normalize: Divide the scores of each weight by their mean first, so that layers of larger weights do not
            drown the others, and groups can be compared in `scope="global"`.

    Raises:
        ValueError: Another value.

    Example:

    ```python
    def largest(binding):
        return abs(binding.slices()).max(axis=1) if binding.role == "out" else None

    prune_channels(model, 0.5, importance=ChannelImportance(largest, combine="max"))
    ```
    """

    score: str | Score = "l2"
    combine: Literal["mean", "sum", "max"] = "mean"
    normalize: bool = True

    def __post_init__(self) -> None:
        if self.score not in _BY_NAME and not callable(self.score):
            raise ValueError(
                f"`importance` must be one of {sorted(_BY_NAME)}, a function `binding -> scores` or a "
                f"`ChannelImportance`. Received: importance={self.score!r}"
            )
        if self.combine not in ("mean", "sum", "max"):
            raise ValueError(f'`combine` must be "mean", "sum" or "max". Received: combine={self.combine!r}')

    def function(self) -> Score:
        """The function behind `score`; random scores start afresh."""
        if not isinstance(self.score, str):
            return self.score
        if self.score == "random":
            return Random(int(keras.random.randint((), 0, 2**31 - 1)))  # follows `keras.utils.set_random_seed`
        return _BY_NAME[self.score]

    def rank(self, group: ChannelGroup, score: Score) -> np.ndarray:
        """The score of each channel of a group.

        Raises:
            ValueError: The function returned scores of another size, or not finite.
        """
        found = self._collect(group, score)
        if not found:
            found = self._collect(group, l2)
        if not found:
            return np.ones(group.size)
        total = np.zeros(group.size)
        count = np.zeros(group.size)
        for places, scores in found:
            if self.combine == "max":
                np.maximum.at(total, places, scores)
            else:
                np.add.at(total, places, scores)
            np.add.at(count, places, 1)
        return total / np.maximum(count, 1) if self.combine == "mean" else total

    def _collect(self, group: ChannelGroup, score: Score) -> list[tuple[np.ndarray, np.ndarray]]:
        found = []
        for binding in group.members:
            scores = score(binding)
            if scores is None:
                continue
            scores = np.asarray(scores, dtype=np.float64)
            if scores.shape != binding.labels.shape or not np.isfinite(scores).all():
                raise ValueError(
                    "An importance must return one finite score for each position along the binding's axis. Received: "
                    f"scores of shape {scores.shape} for {len(binding.labels)} positions of '{binding.layer}', or not "
                    "finite"
                )
            mine = binding.labels != FIXED
            scores = scores[mine]
            mean = np.abs(scores).mean()
            if self.normalize and mean > 0:
                scores = scores / mean
            found.append((np.searchsorted(group.channels, binding.labels[mine]), scores))
        return found


def score_groups(
    analysis: ChannelAnalysis, importance: ChannelImportance, model: keras.Model, data: Any = None, loss: Any = None
) -> dict[str, np.ndarray]:
    """The scores of the channels of each group of which some can go, by name of the group."""
    score = importance.function()
    return {group.name: importance.rank(group, score) for group in analysis.groups if not group.frozen}


def _makes(binding: Binding) -> bool:
    """Whether the weights are those that make the channel, biases apart."""
    return binding.role == "out" and len(binding.weight.shape) > 1 and not binding.name.endswith("bias")


_BY_NAME: dict[str, Score] = {"l1": l1, "l2": l2, "batch_norm_scale": batch_norm_scale, "random": Random()}
