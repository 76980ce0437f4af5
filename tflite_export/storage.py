"""Writing files in one step, at a place that was checked before any work was done.

A file is written under a temporary name beside its place, reaches the disk, and is then put in place: readers, and what
is there after a kill or a power cut, see the old file or the new one, whole. What a process that was killed left half
written is removed when the same file is next written: its name tells the process.
"""

import contextlib
import errno
import glob
import hashlib
import os
import platform
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from tflite_export.validation import check_flag

Save = Callable[[Path], object]
_NAME = re.compile(r"\.(?P<process>\d+)-(?P<place>[0-9a-f]{6})-[0-9a-f]{8}\.tmp\.")


def checked_target(path: str | os.PathLike[str], suffixes: tuple[str, ...], *, overwrite: bool, name: str) -> Path:
    """Return where to write. A link is followed, so that its target is replaced and not the link.

    Raises:
        ValueError: It has another ending, its folder does not exist, or it exists and `overwrite` is False.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"`{name}` must be a path. Received: {path!r}")
    check_flag(overwrite, "overwrite")
    received = os.fspath(path)
    target = Path(os.path.realpath(path))
    if not os.fspath(path).endswith(suffixes):
        raise ValueError(f"`{name}` must end in {' or '.join(suffixes)}. Received: {received!r}")
    if target.is_dir() or not target.parent.is_dir():
        raise ValueError(f"`{name}` must be a file in a folder that exists. Received: {received!r}")
    if target.exists() and not overwrite:
        raise ValueError(f"`{name}` must not exist, unless overwrite=True. Received: {received!r}")
    return target


def write(target: Path, content: bytes, *, overwrite: bool) -> None:
    """Write a file in one step.

    Raises:
        ValueError: Without `overwrite` a file has appeared at `target`; it is as it was.
    """
    write_together([(target, lambda temporary: temporary.write_bytes(content))], overwrite=overwrite)


def write_together(files: Sequence[tuple[Path, Save]], *, overwrite: bool) -> None:
    """Write files, all or none.

    A kill between two of them can leave the first ones only: no system puts several in place at once.

    Args:
        files: For each the path, and what writes the file to the path that it gets.
        overwrite: Whether files that are there may be replaced.

    Raises:
        ValueError: Without `overwrite` a file has appeared at one of the paths; it is as it was, and no file is
            written.
    """
    with contextlib.ExitStack() as stack:
        pairs = []
        for target, save in files:
            _remove_left_over(target)
            temporary = temporary_beside(target)
            stack.callback(temporary.unlink, missing_ok=True)
            save(temporary)
            to_disk(temporary)
            pairs.append((temporary, target))
        with contextlib.ExitStack() as undo:
            for temporary, target in pairs:
                last = target is pairs[-1][1]  # nothing can fail after it: it needs no way back
                back = _way_back(target, stack) if overwrite and not last else None
                if overwrite:
                    os.replace(temporary, target)
                else:
                    _place(temporary, target)
                if not last:
                    undo.callback(back or target.unlink)
            undo.pop_all()
    for folder in {target.parent for target, _ in files}:
        to_disk(folder)


def temporary_beside(target: Path) -> Path:
    """Return a name for a file beside `target`, with the same ending: Keras and NumPy choose the format by it."""
    return target.with_name(f".{os.getpid()}-{_place_of_processes()}-{secrets.token_hex(4)}.tmp.{target.name}")


def _remove_left_over(target: Path) -> None:
    """Remove the temporary files beside `target` of processes that ran here and have ended."""
    for found in target.parent.glob(f".*.tmp.{glob.escape(target.name)}"):
        name = _NAME.match(found.name)
        if name is not None and name["place"] == _place_of_processes() and not _runs(int(name["process"])):
            with contextlib.suppress(OSError):
                found.unlink()


def _place_of_processes() -> str:
    """Tells apart where numbers of processes mean others: machines and containers that share a folder."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        space = ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:6]


def _runs(process: int) -> bool:
    if os.name == "nt":  # there `os.kill` would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True


def _place(temporary: Path, target: Path) -> None:
    """Give a file its name, unless there is a file of that name.

    Raises:
        ValueError: There is one.
    """
    try:
        if os.name == "nt":
            os.rename(temporary, target)  # replaces nothing there
            return
        try:
            os.link(temporary, target)  # never replaces
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: the name is taken with an empty file, then replaced
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.replace(temporary, target)
    except FileExistsError:
        raise ValueError(
            "A file has appeared where the output was to be written, and is kept: nothing was written. Choose another "
            f"path, or pass overwrite=True. Received: {os.fspath(target)!r}"
        ) from None


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk, where the system can tell."""
    folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not folder and error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _way_back(target: Path, stack: contextlib.ExitStack) -> Callable[[], None] | None:
    """Return what brings back the file that is at `target` now; None if there is none."""
    if not target.exists():
        return None
    kept = temporary_beside(target)
    stack.callback(kept.unlink, missing_ok=True)
    try:
        os.link(target, kept)
    except OSError:  # no hard links
        kept.write_bytes(target.read_bytes())
    return lambda: os.replace(kept, target)
