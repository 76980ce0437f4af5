"""`Selection`, the base class, and `Candidate`, what a selection sees: arrays, never a model."""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from keras_prune.selection.layout import Axes, default_axes
from keras_prune.selection.top_k import BLOCK, Scores
from keras_prune.validation import NotFiniteError, is_finite

FAR_BELOW = np.float32(-1e38)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Weight array to be pruned, as a selection sees it.

    Args:
        weight: The float array.
        importance: Function `weight -> scores`, higher = keep.
        kept: The boolean mask so far (True = kept). Pruned weights remain pruned.
        axes: How the weight is a matrix. Defaults to window, inputs and outputs in this order, as in most layers.
        elementwise: Whether `importance` scores each weight by itself: it is then called on parts of the array.
            Defaults to False.
        path: Path of the weight, for messages. Defaults to "".
    """

    weight: np.ndarray
    importance: Callable[[np.ndarray], np.ndarray]
    kept: np.ndarray
    axes: Axes | None = None
    elementwise: bool = False
    path: str = ""

    @property
    def form(self) -> Axes:
        """How the weight is a matrix."""
        return self.axes or default_axes(self.weight.ndim)

    def scores(self, scale: float = 1.0) -> np.ndarray:
        """Return the float scores, times `scale`; those of pruned weights are far below all others, so that they are
        never kept before them.

        Raises:
            ValueError: The score of a weight that is not pruned is NaN or infinite.
        """
        scores = self._all_scores()
        # Overwritten in place: copying the largest weight of a model once more would double the memory of an update.
        if np.may_share_memory(scores, self.weight) or not scores.flags.writeable:
            scores = scores.copy()
        flat, kept = scores.reshape(-1), self.kept.reshape(-1)
        for start in range(0, flat.size, BLOCK):  # without branches, in the cache: 2 to 7 times as fast as putmask
            block = flat[start : start + BLOCK]
            if scale != 1.0:
                block *= scale
            block += FAR_BELOW * ~kept[start : start + BLOCK]
        return flat.reshape(scores.shape)

    def ranked(self, scale: float = 1.0) -> Scores:
        """Return the scores, times `scale`, to be ranked: none of a pruned weight is ever among the highest.

        Raises:
            ValueError: As `scores`.
        """
        if self.elementwise and is_finite(self.weight):
            return Scores(self.weight, self.kept, self.importance, scale)
        return Scores(self._all_scores(), self.kept, scale=scale)

    def _all_scores(self) -> np.ndarray:
        scores = np.asarray(self.importance(self.weight))
        if scores.shape != self.weight.shape:
            raise ValueError(
                "An importance must return one score for each weight. "
                f"Received: scores of shape {scores.shape} for weights of shape {self.weight.shape}"
            )
        return self._finite(scores if np.issubdtype(scores.dtype, np.floating) else scores.astype(np.float32))

    def _finite(self, scores: np.ndarray) -> np.ndarray:
        """The scores, if those that count are finite. A NaN would fail every comparison, and with it a whole layer."""
        if is_finite(scores):
            return scores
        bad = ~np.isfinite(scores)
        if (bad & self.kept).any():
            raise NotFiniteError(
                "Scores of weights must be finite: did the training diverge? Received: NaN or infinite scores"
                f"{f' of {self.path!r}' if self.path else ''}"
            )
        return np.where(bad, 0, scores)  # of pruned weights, whatever they are


class Selection(abc.ABC):
    """Base class of selections, which turn the scores of weights into masks. Subclass it for a custom selection.

    Class attributes:
        - `needs_sparsity`: whether it follows a sparsity target, or decides itself how much is pruned. Defaults to
          True.
        - `max_sparsity`: the highest target that it can reach. Defaults to None: any.
        - `default_sparsity`: the target where none is given. Defaults to None: one must be given.
        - `schedule`: the function of the step that its own value follows. Defaults to None: it has none.
    """

    needs_sparsity: bool = True
    max_sparsity: float | None = None
    default_sparsity: float | None = None
    schedule: Callable[[int], float] | None = None

    @property
    def is_off(self) -> bool:
        """Whether it is set to prune nothing. Defaults to False."""
        return False

    def check_weight(self, name: str, shape: Sequence[int], axes: Axes) -> None:  # noqa: B027  # most prune any
        """Raise a `ValueError` if a weight of this shape cannot be pruned so; `name` is for the message."""

    @abc.abstractmethod
    def select(self, candidates: Sequence[Callable[[], Candidate]], sparsity: float, step: int) -> Iterator[np.ndarray]:
        """Yield one boolean mask (True = kept) for each candidate, in order.

        Args:
            candidates: Functions without arguments, each returning a `Candidate`, so that weights are fetched when
                needed.
            sparsity: Target sparsity in [0, 1); ignored by a selection without `needs_sparsity`.
            step: The optimizer step, for values that follow a schedule.
        """
