"""How long a call of a file may take, and how much memory: a file from elsewhere may never end, or ask for terabytes.

The process that starts a worker says what is allowed in a variable of its environment; the worker sets the limits. The
system keeps them, also while native code runs.
"""

import contextlib
import faulthandler
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_export.validation import check_integer, check_number

TIMEOUT = 120.0  # seconds: an endless loop cannot be told from a slow model; no useful model takes so long for a call
_VARIABLE = "TFLITE_EXPORT_LIMITS"
_ALARM = getattr(signal, "SIGALRM", None)
_TIMER = _ALARM is not None and hasattr(signal, "setitimer")


@dataclass(frozen=True)
class Limits:
    """Limits of a worker.

    Attributes:
        timeout: Seconds that loading the file, or one call, may take; None: no limit. Defaults to 120.
        memory_limit: Bytes that the worker may take besides Python and LiteRT; None: as many as the machine has.
            Defaults to None.
    """

    timeout: float | None = TIMEOUT
    memory_limit: int | None = None

    @classmethod
    def checked(cls, timeout: Any, memory_limit: Any = None) -> "Limits":
        """Return limits from arguments of the user.

        Raises:
            ValueError: `timeout` is no positive number, or `memory_limit` no positive integer.
        """
        if timeout is not None and check_number(timeout, "timeout", 0) == 0:
            raise ValueError(f"`timeout` must be positive, or None for no limit. Received: timeout={timeout!r}")
        return cls(
            None if timeout is None else float(timeout),
            None if memory_limit is None else check_integer(memory_limit, "memory_limit", 1),
        )

    @property
    def bytes(self) -> int | None:
        """The limit of the memory in bytes; None where the system tells none."""
        if self.memory_limit is not None:
            return self.memory_limit
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return None

    def environment(self) -> dict[str, str]:
        """The variable that tells a worker."""
        return {_VARIABLE: json.dumps([self.timeout, self.bytes])}

    def reason(self, code: int, errors: str) -> str | None:
        """Why a worker that took too long ended: what to raise; None if that is not why.

        Args:
            code: Its exit code, negative for signals.
            errors: What it printed on standard error.
        """
        if code != -(_ALARM or 0) and not (code == 1 and "Timeout (" in errors):
            return None
        return (
            "took longer than `timeout` allows for loading the file or for one call, and was ended: it may be a loop "
            "without end. For a slow file from a trusted source pass a larger `timeout`, or None. "
            f"Received: timeout={self.timeout:g}"
        )

    def hint(self) -> str:
        """What to raise, for the error of a worker that may have had too little memory."""
        allowed = self.bytes
        return "" if allowed is None else f", with memory_limit={allowed:,}: pass more bytes if it was too little"


class Watch:
    """Limits of this process, a worker; call it before each call of the file.

    Args:
        variables: Those of the environment. Defaults to `os.environ`.
    """

    def __init__(self, variables: Mapping[str, str] = os.environ):
        self._timeout, allowed = json.loads(variables.get(_VARIABLE, "[null, null]"))
        if allowed is not None:
            _limit_memory(allowed)
        if _TIMER:  # what started us may have set it aside
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        self()

    def __call__(self) -> None:
        """Let the time begin again."""
        self._set(self._timeout)

    def stop(self) -> None:
        """Let there be no limit of the time any more."""
        self._set(None)

    def _set(self, seconds: float | None) -> None:
        if _TIMER:
            signal.setitimer(signal.ITIMER_REAL, seconds or 0)  # its signal ends the process, whatever runs
        elif seconds is None:
            faulthandler.cancel_dump_traceback_later()
        else:
            faulthandler.dump_traceback_later(seconds, exit=True)


def _limit_memory(allowed: int) -> None:
    """Limit the address space: what is taken now, by Python and LiteRT, and so many bytes."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # where there is no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_taken() + allowed,) * 2)


def _taken() -> int:
    statistics = Path("/proc/self/statm")
    pages = int(statistics.read_text().split()[0]) if statistics.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE")
