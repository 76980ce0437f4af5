"""Reader of FlatBuffers tables that checks every offset: no offset of a damaged file leads out of it.

The `flatbuffers` package trusts the file: it ends in `struct.error`, reads another place or asks for gigabytes. Its
verifier exists in C++ only.
"""

from typing import Any

import numpy as np

# Tables may share what they point to. Valid files do so a little; a file made to keep the reader busy, without end.
_REREADS = 64
_SLACK = 1 << 16


class Content:
    """Bytes of a file, and a budget of how many may be read.

    Args:
        content: The bytes; views of a `bytearray` can be written to.
    """

    def __init__(self, content: bytes | bytearray):
        self.bytes = content
        self._left = _REREADS * len(content) + _SLACK

    def at(self, position: int, size: int) -> int:
        """Return the position, if `size` bytes are there.

        Raises:
            ValueError: They are outside of the file, or the file is read over and over.
        """
        if position < 0 or size < 0 or position + size > len(self.bytes):
            raise self.error(f"it points to byte {position:,}, outside of it")
        self.spend(size)
        return position

    def spend(self, size: int) -> None:
        """Count bytes that are read."""
        self._left -= size
        if self._left < 0:
            raise self.error("too many of its parts point to the same place")

    def error(self, what: str) -> ValueError:
        """Return the error that says what is wrong with the file."""
        received = f"{len(self.bytes):,} bytes that begin with {bytes(self.bytes[:8])!r}"
        return ValueError(f"The file must be a .tflite file, whole and unchanged; {what}. Received: {received}")

    def uint(self, position: int, size: int) -> int:
        """Return the unsigned number at a position."""
        position = self.at(position, size)
        return int.from_bytes(self.bytes[position : position + size], "little")

    def root(self, identifier: bytes) -> "Table":
        """Return the table with which the file begins."""
        if bytes(self.bytes[4:8]) != identifier:
            raise self.error(f"its bytes 4 to 7 are not {identifier!r}")
        return Table(self, self.uint(0, 4))


class Table:
    """Table of a file. Its fields are numbered from 0, in the order in which the schema lists them.

    Args:
        content: The file.
        position: Where the table begins in it.
    """

    def __init__(self, content: Content, position: int):
        self._content, self._position = content, content.at(position, 4)
        content.spend(4 * _REREADS)  # no two tables are the same one, as a rule: so many fit into the file
        back = int.from_bytes(content.bytes[position : position + 4], "little", signed=True)
        self._fields = position - back
        self._end = content.uint(self._fields, 2)

    def _where(self, field: int, size: int) -> int | None:
        """Where a field is; None if it is left out."""
        entry = 4 + 2 * field
        if entry + 2 > self._end:
            return None
        offset = self._content.uint(self._fields + entry, 2)
        return self._content.at(self._position + offset, size) if offset else None

    def _target(self, field: int) -> int | None:
        where = self._where(field, 4)
        return None if where is None else where + self._content.uint(where, 4)

    def number(self, field: int, dtype: str, default: int = 0) -> int:
        """Return an integer field of a NumPy type: "int8", "uint32"."""
        kind = np.dtype(dtype).newbyteorder("<")
        where = self._where(field, kind.itemsize)
        return default if where is None else int(np.frombuffer(self._content.bytes, kind, 1, where)[0])

    def numbers(self, field: int, dtype: str) -> np.ndarray[Any, np.dtype[Any]]:
        """Return a vector of numbers, as a view of the file; empty if it is left out."""
        kind = np.dtype(dtype).newbyteorder("<")
        where = self._target(field)
        if where is None:
            return np.zeros(0, kind)
        size = self._content.uint(where, 4)
        start = self._content.at(where + 4, size * kind.itemsize)
        return np.frombuffer(self._content.bytes, kind, size, start) if size else np.zeros(0, kind)

    def text(self, field: int) -> str:
        """Return a string. Bytes that are not UTF-8 are replaced; LiteRT does not check names either."""
        return self.numbers(field, "uint8").tobytes().decode(errors="replace")

    def table(self, field: int) -> "Table | None":
        """Return a table that this one points to."""
        where = self._target(field)
        return None if where is None else Table(self._content, where)

    def tables(self, field: int) -> list["Table"]:
        """Return a vector of tables."""
        where = self._target(field)
        if where is None:
            return []
        size = self._content.uint(where, 4)
        first = self._content.at(where + 4, 4 * size)
        places = range(first, first + 4 * size, 4)
        return [Table(self._content, place + self._content.uint(place, 4)) for place in places]
