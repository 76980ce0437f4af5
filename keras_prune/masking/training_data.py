"""The training data of `fit`, and samples of them to measure statistics on."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Training data, as `fit` got them.

    Args:
        x: Arrays, or a dataset of batches.
        y: Targets, if `x` are arrays. Defaults to None.
        sample_weight: Weights of the samples, if `x` are arrays. Defaults to None.
        validation_split: The fraction at the end of the arrays that is for validation. Defaults to 0.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    validation_split: float = 0.0

    def check(self) -> None:
        """Raises a `ValueError` if a sample would be missing in the training data."""
        if isinstance(self.x, Iterator):
            raise ValueError(
                "This importance is measured on the training data, but a generator can be read only once: pass "
                f"`data` to the callback, or a dataset to `fit`. Received: x={self.x!r}"
            )

    def sample(self, batches: int, seed: int) -> Any:
        """A sample of batches, random where random access is possible, in the form that `Batches` takes.

        Args:
            batches: Number of batches; of arrays, each has 32 samples.
            seed: Random seed.
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
