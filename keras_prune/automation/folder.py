"""The output folder of a search: it is created if needed, and folders with other files are refused."""

import os
import pathlib
from typing import Any

JOURNAL = "journal.json"


def check_folder(output: Any) -> pathlib.Path:
    """Return the path of the folder, which need not exist yet.

    Raises:
        TypeError: `output` is no path.
        ValueError: It is a file, or a folder with other files than those of a search.
    """
    if not isinstance(output, str | os.PathLike) or not os.fspath(output):
        raise TypeError(f"`output` must be the path of a folder. Received: output={output!r}")
    folder = pathlib.Path(output)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder. Received: output='{folder}', which is a file")
    if folder.is_dir() and not (folder / JOURNAL).is_file() and any(folder.iterdir()):
        raise ValueError(
            "`output` must be a new or empty folder, or that of a search to resume; other files are never "
            f"overwritten. Received: output='{folder}', which holds {sorted(os.listdir(folder))[:3]}"
        )
    return folder


def make_folder(folder: pathlib.Path) -> None:
    """Create the folder, and those above it.

    Raises:
        ValueError: It cannot be created or written.
    """
    probe = folder / f".{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ValueError(f"`output` cannot be written. Received: output='{folder}' ({error})") from error
