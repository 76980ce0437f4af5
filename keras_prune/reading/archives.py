"""Zip archives, as `.keras` and `.npz` files are: checked before anything in them is decompressed."""

import zipfile
from typing import IO, Any

from keras_prune.reading.limits import check_expansion

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that Keras and NumPy write


def check_archive(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The members of an archive by name.

    Args:
        archive: The archive.
        size: Size of its file in bytes.

    Raises:
        ValueError: Two members have the same name, one would lie outside a folder, is encrypted or compressed in
            another way than Keras and NumPy do, or they are too large together.
    """
    members = {info.filename: info for info in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise ValueError("the archive holds two members of the same name")
    for name, info in members.items():
        if name.startswith("/") or "\\" in name or ":" in name.split("/")[0] or ".." in name.split("/"):
            raise ValueError(f"the archive must not name files outside itself, as {name!r} does")
        if info.compress_type not in _METHODS or info.flag_bits & 1:
            raise ValueError(
                f"the member {name!r} is encrypted, or compressed in a way that Keras and NumPy do not use"
            )
    check_expansion(sum(info.file_size for info in members.values()), size, "the archive")
    return members


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The content of a member, of exactly the declared size.

    Raises:
        ValueError: It is damaged.
    """
    try:
        with archive.open(info) as file:
            content = file.read(info.file_size)
            complete = len(content) == info.file_size and not file.read(1)
    except Exception as error:  # zipfile, zlib and struct have one of their own for each kind of damage
        raise ValueError(f"the member {info.filename!r} is damaged ({error})") from error
    if not complete:
        raise ValueError(f"the member {info.filename!r} is damaged (it is not of the declared size)")
    return content


def open_archive(file: IO[bytes] | Any) -> zipfile.ZipFile:
    """Opens an archive.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no archive.
    """
    try:
        return zipfile.ZipFile(file)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"it is no zip archive, or a damaged one ({error})") from error
