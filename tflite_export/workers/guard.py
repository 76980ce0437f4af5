"""Program that outlives its owner, to end its subprocesses and remove its temporary files: `python guard.py`.

On standard input it is told what there is, a JSON list in a line: `["add", "process", 17]`, `["remove", "folder",
"/tmp/x"]`. Where the owner ends, however it ends, the system closes the input; what is listed by then is left over.
It runs by its path and imports Python's own modules only, so that it is ready in a few hundredths of a second.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time

_PATIENCE = 5.0  # seconds for a process to end, and for its files to be let go of


def main() -> None:
    """Listen until the owner has ended, or has nothing left, and clean up."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # meant for the owner
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    listed: dict[str, set[object]] = {"process": set(), "folder": set(), "file": set()}
    for line in sys.stdin.buffer:
        with contextlib.suppress(ValueError):  # the owner was killed in the middle of a line
            action, kind, name = json.loads(line)
            (listed[kind].add if action == "add" else listed[kind].discard)(name)
    _end([int(str(number)) for number in listed["process"]])
    for folder in listed["folder"]:
        _remove(str(folder))
    for file in listed["file"]:
        with contextlib.suppress(OSError):
            os.remove(str(file))


def _end(processes: list[int]) -> None:
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    end = time.monotonic() + _PATIENCE
    while any(map(_is_there, processes)) and time.monotonic() < end:
        time.sleep(0.01)


def _is_there(process: int) -> bool:
    if os.name == "nt":  # there `os.kill` would end it
        return False
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def _remove(folder: str) -> None:
    end = time.monotonic() + _PATIENCE
    while os.path.lexists(folder) and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
