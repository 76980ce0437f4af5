"""Groups of weights in Keras's `.h5` files: the lists of names in their attributes, and the arrays."""

import itertools
from collections.abc import Sequence

import h5py
import numpy as np

_LONGEST = 60_000  # bytes: HDF5 holds 64 KB in an attribute, so Keras divides long lists into `name0`, `name1`, ...


def read_names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names, also if it is divided into parts."""
    parts = [group.attrs[each] for each in _parts(group, attribute)]
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]


def write_names(group: h5py.Group, attribute: str, names: Sequence[str]) -> None:
    """Replaces a list of names."""
    for each in _parts(group, attribute):
        del group.attrs[each]
    encoded = np.array([name.encode() for name in names] or np.zeros(0, "S1"))
    count = max(1, _LONGEST // max(encoded.itemsize, 1))
    if len(encoded) <= count:
        group.attrs[attribute] = encoded
        return
    for index, start in enumerate(range(0, len(encoded), count)):
        group.attrs[f"{attribute}{index}"] = encoded[start : start + count]


def read_group(group: h5py.Group, name: str) -> h5py.Group:
    """A group in another.

    Raises:
        ValueError: It is missing.
    """
    found = group.get(name)
    if not isinstance(found, h5py.Group):
        raise ValueError(f"The weights of a layer are missing. Received: {name!r}")
    return found


def read_weight(group: h5py.Group, name: str) -> np.ndarray:
    """An array, in a file that `check_hdf5` has checked.

    Raises:
        ValueError: It is missing, or holds something else than numbers.
    """
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "biuf":
        raise ValueError(f"The array is missing, or holds no numbers. Received: {name!r}")
    return np.asarray(dataset)


def _parts(group: h5py.Group, attribute: str) -> list[str]:
    if attribute in group.attrs:
        return [attribute]
    parts = (f"{attribute}{index}" for index in itertools.count())
    return list(itertools.takewhile(lambda part: part in group.attrs, parts))
