"""The data that `fit` trains on, and a sample of them for what is measured while it does."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What `fit` was given.

    Args:
        x: Arrays, or batches: a dataset.
        y: Targets, if `x` are arrays.
        sample_weight: Likewise.
        validation_split: The fraction at the end of the arrays that is not trained on.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    validation_split: float = 0.0

    def check(self) -> None:
        """Raises a `ValueError` if a sample would take away from what is trained on."""
        if isinstance(self.x, Iterator):
            raise ValueError(
                "This importance is measured on what `fit` trains on, but a generator can be read only once: pass "
                f"`data` to PruningSchedule, or train on a dataset. Received: x={self.x!r}"
            )

    def sample(self, batches: int, seed: int) -> Any:
        """Some batches, chosen at random by the seed where they can be chosen: in the form that `Batches` reads.

        Args:
            batches: Their number; of arrays, each has 32 samples.
            seed: The same for the same.
        """
        rng = np.random.default_rng(seed)
        if isinstance(self.x, keras.utils.PyDataset):
            count = self.x.num_batches
            return [self.x[index] for index in sorted(rng.permutation(count)[:batches])]
        if not _are_arrays(self.x):
            return list(itertools.islice(iter(self.x), batches))
        arrays = (self.x, self.y, self.sample_weight)
        size = int(len(keras.tree.flatten(self.x)[0]) * (1 - self.validation_split))
        chosen = np.sort(rng.permutation(size)[: batches * BATCH_SIZE])
        return keras.tree.map_structure(lambda leaf: None if leaf is None else _rows(leaf, chosen), arrays)


def _are_arrays(x: Any) -> bool:
    return all(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in keras.tree.flatten(x))


def _rows(leaf: Any, chosen: np.ndarray) -> np.ndarray:
    array = leaf if isinstance(leaf, np.ndarray) else keras.ops.convert_to_numpy(leaf)
    return array[chosen]
