"""N:M sparsity: of every M consecutive weights along the inputs, N are kept."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from keras_prune.selection.base import Candidate, Selection
from keras_prune.selection.layout import Axes
from keras_prune.selection.top_k import BLOCK, Scores, count_kept, keep_highest
from keras_prune.validation import check_integer


@dataclasses.dataclass(frozen=True)
class NByM(Selection):
    """Selection of N:M sparsity: keeps at most `n` of every `m` consecutive weights along the inputs (Mishra et al.
    2021, "Accelerating sparse deep neural networks": 2:4).

    The target sparsity may rise to `1 - n/m`. Below that, exactly the number of weights for the target is kept, and
    never more than `m - n` weights of a group are pruned. At `1 - n/m` every group has the pattern. The last group
    along an axis may be incomplete: `n` of its weights are kept, or all if it has no more. Groups lie along the inputs
    of Dense and of each place in the window of a convolution, for each output; in a depthwise convolution, along its
    window; where there are several input axes, as in the output projection of attention, along all of them, flattened.

    Without a schedule or a sparsity the target is `1 - n/m`.

    Args:
        n: Number of weights to keep of each group, at least 1.
        m: Size of a group, above `n`. (tfmot's `sparsity_m_by_n=(2, 4)` counts the zeros: `NByM(2, 4)`; its `(1, 4)`,
            `NByM(3, 4)`.)

    Raises:
        ValueError: `n` and `m` are not integers with 1 <= n < m; when pruning starts, a weight with fewer than `m`
            inputs, or a target above `1 - n/m`.

    Example:

    ```python
    pruned = prune_weights(model, selection=NByM(2, 4))
    ```
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", check_integer(self.n, "n", minimum=1))
        object.__setattr__(self, "m", check_integer(self.m, "m", minimum=1))
        if self.n >= self.m:
            raise ValueError(
                f"`NByM(n, m)` keeps n of every m weights: n must be below m. Received: n={self.n}, m={self.m}"
            )

    @property
    def max_sparsity(self) -> float:  # type: ignore[override]
        return 1 - self.n / self.m

    @property
    def default_sparsity(self) -> float:  # type: ignore[override]
        return self.max_sparsity

    def check_weight(self, name: str, shape: Sequence[int], axes: Axes) -> None:
        inputs = int(np.prod([shape[axis] for axis in axes.inputs]))
        if inputs < self.m:
            raise ValueError(
                f"A group of {self.m} weights does not fit along the inputs of '{name}'. Leave the layer out, with "
                f"targets={{'{name.split('/')[0]}': None}}, or choose a smaller m. "
                f"Received: {self!r} for {inputs} inputs, shape {tuple(shape)}"
            )

    def select(self, candidates: Sequence[Callable[[], Candidate]], sparsity: float, step: int) -> Iterator[np.ndarray]:
        for fetch in candidates:
            yield self._mask(fetch(), sparsity)

    def _mask(self, candidate: Candidate, sparsity: float) -> np.ndarray:
        scores = candidate.scores()
        spare = self._spare(scores, candidate.form)
        if sparsity >= self.max_sparsity:
            return ~spare & candidate.kept
        keep = max(count_kept(scores.size, sparsity), scores.size - int(np.count_nonzero(spare)))
        if keep >= np.count_nonzero(candidate.kept):
            return candidate.kept
        scores[~spare] = np.inf  # of those that must be kept
        return keep_highest(Scores(scores), keep) & candidate.kept

    def _spare(self, scores: np.ndarray, axes: Axes) -> np.ndarray:
        """True for the weights that may be pruned: all except the `n` highest of each group; equal ones by position."""
        cube = np.moveaxis(axes.cube(scores), 1, -1)  # window, outputs, inputs
        last = cube.shape[-1] % self.m
        if last:  # what is added counts as pruned
            cube = np.pad(cube, ((0, 0), (0, 0), (0, self.m - last)), constant_values=-np.inf)
        groups = cube.reshape(-1, self.m)
        spare = np.ones(groups.shape, bool)
        rows = max(BLOCK // self.m, 1)
        for start in range(0, len(groups), rows):  # positions of a whole array would take twice its memory
            highest = np.argsort(-groups[start : start + rows], axis=1, kind="stable")[:, : self.n]
            np.put_along_axis(spare[start : start + rows], highest, False, axis=1)
        spare = spare.reshape(cube.shape)[..., : cube.shape[-1] - (self.m - last if last else 0)]
        return axes.restore(np.ascontiguousarray(np.moveaxis(spare, -1, 1)), scores.shape)
