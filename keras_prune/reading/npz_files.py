"""Reading `.npz` files: each array is checked by its header before memory is taken for it. Pickles are never read."""

import math
import os
import zipfile
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.lib import format as npy

from keras_prune.reading.archives import check_archive, open_archive, read_member

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
MAGIC = npy.MAGIC_PREFIX


class NpzReader:
    """An open `.npz` file.

    Args:
        file: Its path, or an open binary file.

    Attributes:
        names: Names of the arrays.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no `.npz` file, or one that would take much more memory than it has bytes.
    """

    def __init__(self, file: str | os.PathLike[str] | IO[bytes]):
        self._archive = open_archive(file)
        try:
            size = _size(self._archive)
            self._members = check_archive(self._archive, size)
        except BaseException:
            self._archive.close()
            raise
        self.names = [name.removesuffix(".npy") for name in self._members]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._archive.close()

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of an array, which is not read.

        Raises:
            ValueError: It is missing or damaged, holds Python objects, or is not of the size that its shape says.
        """
        shape, _, dtype, _ = self._header(name)
        return shape, dtype

    def read(self, name: str) -> np.ndarray:
        """Reads an array.

        Raises:
            ValueError: As of `header`.
        """
        shape, fortran, dtype, start = self._header(name)
        content = read_member(self._archive, self._member(name))
        array = np.frombuffer(bytearray(content), dtype, offset=start, count=math.prod(shape))
        return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)

    def _member(self, name: str) -> zipfile.ZipInfo:
        try:
            return self._members[f"{name}.npy"]
        except KeyError:
            raise ValueError(f"the file holds no array {name!r}") from None

    def _header(self, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
        info = self._member(name)
        try:
            with self._archive.open(info) as file:
                shape, fortran, dtype = _HEADERS[npy.read_magic(file)](file)
                start = file.tell()
        except Exception as error:  # zipfile, zlib, struct and NumPy have one of their own for each kind of damage
            raise ValueError(f"the header of the array is damaged ({error})") from error
        if dtype.hasobject:
            raise ValueError("the array holds pickled objects, which are never loaded")
        sound = all(type(each) is int and each >= 0 for each in shape) and dtype.itemsize
        if not sound or start + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"the array is damaged (it has not the size of the shape {shape} of {dtype})")
        return shape, fortran, dtype, start


def _size(archive: zipfile.ZipFile) -> int:
    assert archive.fp is not None
    archive.fp.seek(0, os.SEEK_END)
    return archive.fp.tell()
