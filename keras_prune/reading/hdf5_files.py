"""HDF5 files: nothing in one may lead into another file, or take much more memory than the file has bytes."""

import math
import os
import zlib
from typing import IO, Any

import h5py
import numpy as np

from keras_prune.reading.limits import check_expansion

_LISTS = ("layer_names", "weight_names")  # attributes with names of groups and data sets, which are read by them
_MOST = 1 << 20  # groups, data sets and attributes
_PLAIN = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.BITFIELD, h5py.h5t.OPAQUE, h5py.h5t.ENUM)
_DEFLATE, _SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE


def check_hdf5(file: str | os.PathLike[str] | IO[bytes], size: int) -> None:
    """Checks every group, data set and attribute of a file, without reading the arrays.

    Args:
        file: Its path, or an open binary file.
        size: Its size in bytes.

    Raises:
        ValueError: It is no HDF5 file or a damaged one; it holds a soft or external link, a data set in other files, or
            the same object under two names, none of which Keras writes; or data that would take much more memory than
            the file has bytes.
    """
    try:
        with h5py.File(file, "r") as opened:
            _Check(size).run(opened)
    except ValueError:
        raise
    except Exception as error:  # h5py has OSError, RuntimeError, KeyError and others for what HDF5 cannot read
        raise ValueError(f"it is no HDF5 file, or a damaged one ({error})") from error


class _Check:
    """One walk over a file. Objects are opened by hard links only, which cannot lead out of it."""

    def __init__(self, size: int):
        self._size = size
        self._declared = 0
        self._stored = 0
        self._count = 0
        self._seen: set[int] = set()
        self._texts: list[tuple[str, int]] = []  # what has text of any length, and how many of them
        self._named: list[tuple[h5py.Group, str]] = []  # the attributes that list names

    def run(self, file: h5py.File) -> None:
        groups: list[h5py.Group] = [file]
        self._note(file)
        while groups:
            group = groups.pop()
            self._attributes(group)
            for name in group:
                where = f"{group.name.rstrip('/')}/{name}"
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"'{where}' is a link, perhaps into another file, which is never followed")
                found = group[name]
                self._note(found)
                if isinstance(found, h5py.Group):
                    groups.append(found)
                elif isinstance(found, h5py.Dataset):
                    self._attributes(found)
                    self._dataset(found, where)
        self._check_texts()
        self._check_names()

    def _note(self, found: Any) -> None:
        address = h5py.h5o.get_info(found.id).addr
        if address in self._seen:  # one array could be read thousands of times
            raise ValueError(f"'{found.name}' is in the file under two names")
        self._seen.add(address)
        self._one_more()

    def _one_more(self) -> None:
        self._count += 1
        if self._count > _MOST:
            raise ValueError(f"it holds more than {_MOST:,} objects")

    def _attributes(self, found: Any) -> None:
        for name in found.attrs:
            self._one_more()
            attribute = found.attrs.get_id(name)
            count, kind = attribute.get_space().get_simple_extent_npoints(), attribute.get_type()
            if count * kind.get_size() > self._size:  # attributes are stored as they are
                raise ValueError(f"the attribute '{name}' of '{found.name}' is damaged")
            if not _is_plain(kind):
                self._texts.append((f"the attribute '{name}' of '{found.name}'", count))
            if name.startswith(_LISTS):
                self._named.append((found, name))

    def _dataset(self, found: h5py.Dataset, where: str) -> None:
        if found.is_virtual or found.external:
            raise ValueError(f"the array '{where}' is in another file, which is never opened")
        kind, count = found.id.get_type(), found.id.get_space().get_simple_extent_npoints()
        self._stored += found.id.get_storage_size()
        if not _is_plain(kind):
            self._texts.append((f"the array '{where}'", count))
        else:
            self._declared += count * kind.get_size()
        check_expansion(self._declared, self._size, f"'{where}', with the arrays before it,")
        if found.chunks is not None:
            check_expansion(math.prod(found.chunks) * kind.get_size(), self._size, f"a part of '{where}'")
            _check_chunks(found, where, math.prod(found.chunks) * kind.get_size())

    def _check_texts(self) -> None:
        """Texts are stored apart from the arrays, and thousands of places may point at the same one."""
        rest = max(self._size - self._stored, 0)
        for what, count in self._texts:
            check_expansion(count * rest, self._size, what)

    def _check_names(self) -> None:
        """Each array is read by its name, once."""
        lists: dict[tuple[str, str], list[str]] = {}
        for group, attribute in self._named:
            key = (group.name, attribute.rstrip("0123456789"))  # long lists are divided
            lists.setdefault(key, []).extend(_text(each) for each in np.atleast_1d(group.attrs[attribute]))
        for (where, attribute), names in lists.items():
            parts = {part for each in names for part in each.split("/")}
            if len(set(names)) < len(names) or parts & {"", ".", ".."}:
                raise ValueError(f"the attribute '{attribute}' of '{where}' must list the names of arrays, each once")


def _check_chunks(found: h5py.Dataset, where: str, size: int) -> None:
    """Checks that the compressed parts are no larger than they should be: HDF5 decompresses them to the end."""
    settings = found.id.get_create_plist()
    filters = [settings.get_filter(index)[0] for index in range(settings.get_nfilters())]
    if not filters:
        return
    if filters not in ([_DEFLATE], [_SHUFFLE, _DEFLATE], [_SHUFFLE]):
        raise ValueError(f"the array '{where}' must not be compressed, or by gzip alone")
    if _DEFLATE not in filters:
        return
    for index in range(found.id.get_num_chunks()):
        place = found.id.get_chunk_info(index)
        mask, content = found.id.read_direct_chunk(place.chunk_offset)
        if mask & (1 << filters.index(_DEFLATE)):
            continue
        decoder = zlib.decompressobj()
        try:
            complete = len(decoder.decompress(content, size + 1)) == size and not decoder.unconsumed_tail
        except zlib.error:
            complete = False
        if not complete:
            raise ValueError(f"the array '{where}' is damaged, where it is compressed")


def _is_plain(kind: h5py.h5t.TypeID) -> bool:
    """Whether values of this type are stored where they are, without text of any length or references in them."""
    variable = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
    return not variable and kind.get_class() in _PLAIN


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
