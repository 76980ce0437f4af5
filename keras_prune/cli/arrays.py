"""Arrays in `.npz` files, loaded without pickles, by the keys that commands look for."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_prune.cli.errors import BadInput
from keras_prune.cli.files import InputFile
from keras_prune.reading.npz_files import MAGIC, NpzReader


@contextlib.contextmanager
def open_arrays(path: str) -> Iterator["Arrays"]:
    """Open an `.npz` file for a `with` block.

    Raises:
        BadInput: There is no such file, or it is none.
    """
    InputFile(path).check()
    with open(path, "rb") as file:
        single = file.read(len(MAGIC)) == MAGIC
    if single:
        raise BadInput(f"The data must be a .npz file, not a single array. Received: {path!r}")
    try:
        archive = NpzReader(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"The data must be a .npz file of arrays ({error}). Received: {path!r}") from error
    with archive:
        yield Arrays(path, archive)


class Arrays:
    """Arrays of an open file.

    Args:
        path: The file.
        archive: The open file.
    """

    def __init__(self, path: str, archive: NpzReader):
        self.path = path
        self._archive = archive

    def has(self, key: str, names: Sequence[str]) -> bool:
        """Whether there is an array for each name: the key and the name behind it."""
        return all(key + name in self._archive.names for name in names)

    def first(self, keys: Sequence[str], names: Sequence[str]) -> str:
        """Return the first key that has an array for each name.

        Raises:
            BadInput: None has.
        """
        for key in keys:
            if self.has(key, names):
                return key
        wanted = " or ".join(" and ".join(repr(key + name) for name in names) for key in keys)
        hint = f"; --{keys[0][0]}-key names another one" if len(keys) > 1 else ""
        raise BadInput(
            f"The data need the key {wanted}{hint}. Received: '{self.path}' with the keys {self._archive.names}"
        )

    def read(self, key: str) -> Any:
        """Return an array.

        Raises:
            BadInput: It cannot be read, or holds no samples that are numbers.
        """
        received = f"Received: '{self.path}', key {key!r}"
        try:
            array = self._archive.read(key)
        except ValueError as error:
            raise BadInput(f"The array cannot be read: {error}. {received}") from error
        if array.dtype.kind not in "biuf":
            raise BadInput(f"The array must hold numbers. {received} of type {array.dtype}")
        if array.ndim == 0 or not len(array):
            raise BadInput(f"The array must hold at least one sample. {received} of shape {array.shape}")
        return array


def drawn(count: int, samples: int) -> np.ndarray:
    """Return which of so many samples are used: drawn without replacement, with a fixed seed, in their order."""
    return np.sort(np.random.default_rng(0).permutation(count)[:samples])
