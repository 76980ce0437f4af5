"""`pack` and `unpack`: a `.tflite` file compressed with xz, for downloads."""

import gzip
import lzma
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_export.reader import flatbuffer
from tflite_export.reporting import Bars, Report, Table
from tflite_export.storage import checked_target, write
from tflite_export.validation import check_integer

_LIMIT = 1 << 30
_MEMORY = (
    1 << 28
)  # bytes that decompression may take; a dictionary of 64 MB, the largest that `xz -9` makes, needs a quarter
_STEP = 1 << 20


@dataclass(frozen=True)
class Packed(Report):
    """Report of `pack` and `unpack`: both sizes.

    Attributes:
        path: The file that was written.
        bytes: The size of the `.tflite` file, in bytes.
        xz_bytes: The size of the `.tflite.xz` file, in bytes.
    """

    path: Path
    bytes: int
    xz_bytes: int

    @property
    def ratio(self) -> float:
        """How many times smaller the packed file is."""
        return self.bytes / self.xz_bytes

    def _tables(self) -> list[Table]:
        rows = [
            (".tflite", f"{self.bytes:,} bytes"),
            (".tflite.xz", f"{self.xz_bytes:,} bytes, {self.ratio:.2f} times smaller"),
        ]
        return [Table(None, rows, self.path.name)]

    def _facts(self) -> Mapping[str, Any]:
        return {**super()._facts(), "ratio": self.ratio}

    def _bars(self) -> Bars:
        return Bars(self.path.name, "bytes", (".tflite", ".tflite.xz"), {"size": (self.bytes, self.xz_bytes)})


def pack(path: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, *, overwrite: bool = False) -> Packed:
    """Compress a `.tflite` file with xz, for a download.

    Any program that reads `.xz` can decompress it. A pruned file gets much smaller, one with shared or int8 values too.

    Args:
        path: The `.tflite` file; it is kept.
        out: The file to write, ending in `.tflite.xz`. Defaults to None: `path` with `.xz` added.
        overwrite: Whether a file that exists may be replaced. Defaults to False.

    Returns:
        Both sizes in bytes, and their ratio.

    Raises:
        ValueError: `path` is not a whole `.tflite` file, or `out` cannot be written to.
        ImportError: ai-edge-litert is not installed.

    Example:

    ```python
    import keras
    import tflite_export

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    tflite_export.export(model, "model.tflite")
    print(tflite_export.pack("model.tflite"))
    tflite_export.unpack("model.tflite.xz", "again.tflite")
    ```
    """
    content = flatbuffer.load(path)
    out = f"{os.fspath(path)}.xz" if out is None else out
    target = checked_target(out, (".tflite.xz",), overwrite=overwrite, name="out")
    flatbuffer.read(content)
    packed = xz(content)
    write(target, packed, overwrite=overwrite)
    return Packed(Path(out), len(content), len(packed))


def unpack(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    limit: int = _LIMIT,
) -> Packed:
    """Decompress a `.tflite.xz` file, and write it only if it is a whole `.tflite` file.

    Args:
        path: The `.tflite.xz` file; it is kept.
        out: The `.tflite` file to write. Defaults to None: `path` without `.xz`.
        overwrite: Whether a file that exists may be replaced. Defaults to False.
        limit: How many bytes the `.tflite` file may have, since a small archive can hold terabytes of zeros.
            Defaults to 2**30.

    Returns:
        Both sizes in bytes, and their ratio.

    Raises:
        ValueError: The archive is damaged, too large or holds no `.tflite` file, or `out` cannot be written
            to.
        ImportError: ai-edge-litert is not installed.

    Example:

    ```python
    import keras
    import tflite_export

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    tflite_export.export(model, "model.tflite")
    tflite_export.pack("model.tflite")
    tflite_export.unpack("model.tflite.xz", overwrite=True)
    ```
    """
    if not isinstance(path, str | os.PathLike) or not Path(path).is_file():
        raise ValueError(f"`path` must be a .tflite.xz file. Received: {path!r}")
    limit = check_integer(limit, "limit", 1)
    out = os.fspath(path).removesuffix(".xz") if out is None else out
    target = checked_target(out, (".tflite",), overwrite=overwrite, name="out")
    packed = Path(path).read_bytes()
    content = _decompress(packed, limit, os.fspath(path))
    flatbuffer.read(content)
    write(target, content, overwrite=overwrite)
    return Packed(Path(out), len(content), len(packed))


def gzip_bytes(content: bytes) -> int:
    """Return the size after gzip, which web servers and app packages use."""
    return len(gzip.compress(content, 9, mtime=0))


def xz(content: bytes) -> bytes:
    """Return the content as an `.xz` file.

    Told that numbers of four bytes follow each other (`lp` and `pb`), xz makes float32 weights 8% smaller, and
    int8 ones no larger. The dictionary is no larger than the content: decompression needs as much memory.
    """
    dictionary = min(max(len(content), 1 << 12), 1 << 26)
    coder = {"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 2, "pb": 2, "dict_size": dictionary}
    return lzma.compress(content, filters=[coder])


def _decompress(packed: bytes, limit: int, name: str) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    parts, size, data = [], 0, packed
    try:
        while not decoder.eof:
            part = decoder.decompress(data, max_length=_STEP)
            if not part and not decoder.eof and decoder.needs_input:
                raise ValueError(f"The archive {name!r} must be whole. Received: {len(packed):,} bytes that end early")
            parts.append(part)
            size, data = size + len(part), b""
            if size > limit:
                raise ValueError(
                    f"The file in the archive {name!r} must have at most `limit`, {limit:,} bytes. Received: more"
                )
    except lzma.LZMAError as error:
        raise ValueError(f"The archive {name!r} must be an .xz file, unchanged. Received: {error}") from error
    if decoder.unused_data:
        raise ValueError(
            f"The archive {name!r} must hold one file. Received: {len(decoder.unused_data):,} bytes after its end"
        )
    return b"".join(parts)
