"""The training data of `fit`, and samples of them to measure statistics on."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Self

import keras
import numpy as np

from keras_prune import _keras

BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Training data, as `fit` got them.

    Args:
        x: Arrays, or a dataset of batches.
        y: Targets, if `x` are arrays. Defaults to None.
        sample_weight: Weights of the samples, if `x` are arrays. Defaults to None.
        class_weight: Weights of the classes. Defaults to None.
        validation_split: The fraction at the end of the arrays that is for validation. Defaults to 0.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    class_weight: Mapping[int, float] | None = None
    validation_split: float = 0.0

    @classmethod
    def of_fit(cls, given: Mapping[str, Any]) -> Self:
        """The training data among the arguments of `fit`, by name. A `fit` of the user's may have others."""
        found = cls(given.get("x"), given.get("y"), given.get("sample_weight"), given.get("class_weight"))
        split = given.get("validation_split") if given.get("validation_data") is None else None
        return dataclasses.replace(found, validation_split=split or 0.0)

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
            chosen = range(batches) if count is None else sorted(rng.permutation(count)[:batches])  # None: endless
            return [self._weighted(self.x[int(index)]) for index in chosen]
        if not all(map(is_array, keras.tree.flatten(self.x))):
            return [self._weighted(batch) for batch in itertools.islice(iter(self.x), batches)]
        arrays = (self.x, self.y, self.sample_weight)
        size = int(len(keras.tree.flatten(self.x)[0]) * (1 - self.validation_split))
        rows = np.sort(rng.permutation(size)[: batches * BATCH_SIZE])
        return self._weighted(
            keras.tree.map_structure(lambda leaf: None if leaf is None else to_numpy(leaf)[rows], arrays)
        )

    def _weighted(self, batch: Any) -> Any:
        """A batch with the weights of its samples, if classes have weights. (`fit` refuses both.)"""
        if self.class_weight is None:
            return batch
        x, y, _ = keras.utils.unpack_x_y_sample_weight(tuple(batch))
        return x, y, _keras.class_weights(y, self.class_weight)


def is_array(value: Any) -> bool:
    """Whether this is an array or a tensor, or a table of pandas, which has a type for each column."""
    return hasattr(value, "shape") and (hasattr(value, "dtype") or hasattr(value, "dtypes"))


def to_numpy(value: Any) -> np.ndarray:
    """An array, tensor or table as an array of NumPy."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "to_numpy"):  # of pandas
        return np.asarray(value.to_numpy())
    return np.asarray(keras.ops.convert_to_numpy(value))
