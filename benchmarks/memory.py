"""The time and the peak memory of a call, as the operating system counts them: NumPy's, the backend's, everything."""

import contextlib
import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What the C library keeps for later use when large blocks are freed would count as used. A process that is started with
# this environment gives them back at once: its memory can be trusted, and its time cannot.
HONEST = {"MALLOC_MMAP_THRESHOLD_": str(1 << 16)}

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(action: Callable[[], Any]) -> tuple[float, int | None]:
    """Calls `action` and returns the seconds it took, and by how many bytes memory grew while it ran, at most.

    Linux keeps the highest value itself, which no sampling thread can match: NumPy would keep it from running just when
    it matters. Other systems cannot reset that value: None.

    Memory that was freed before but kept for later use would not count as growth, so it is given back first. TensorFlow
    keeps large tensors in a pool that cannot be emptied.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no such function
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    try:
        _RESET.write_text("5")
        before = _status("VmRSS")
    except OSError:
        before = None
    start = time.perf_counter()
    action()
    seconds = time.perf_counter() - start
    return seconds, None if before is None else _status("VmHWM") - before


def _status(field: str) -> int:
    (line,) = [line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024
