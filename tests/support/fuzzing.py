"""What all tests with the mark `fuzz` share: how many examples, which, and what counts as a failure.

In the suite each tries the same few examples each time, so that a change of the package is judged and not chance.
`make fuzz` sets FUZZ_EXAMPLES: as many others, of a seed that is printed and that FUZZ_SEED sets.
"""

import contextlib
import os
import pathlib
import signal
import sys
import threading

import numpy as np

MORE = int(os.environ.get("FUZZ_EXAMPLES", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "0")) or (int.from_bytes(os.urandom(4), "little") if MORE else 0)
SECONDS = 30  # for one example
MEMORY = 1_500_000  # kB by which one example may raise the largest memory of the process


class Hang(BaseException):
    """No `Exception`, which what hangs could catch."""


def seeds(few):
    """The seeds of the examples: a few in the suite, or many others."""
    if MORE:
        print(f"FUZZ_SEED={SEED}")
    return [SEED + index for index in range(MORE or few)]


def rng_of(seed):
    return np.random.default_rng(seed)


@contextlib.contextmanager
def bounded(what):
    """Fails if what is done takes too long, or too much memory."""
    alarm = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    before = _peak()

    def stop(*_):
        raise Hang(f"{what} takes more than {SECONDS} s")

    if alarm:
        old, left = signal.signal(signal.SIGALRM, stop), signal.setitimer(signal.ITIMER_REAL, SECONDS)[0]
    try:
        yield
    finally:
        if alarm:  # that of pytest-timeout goes on
            signal.signal(signal.SIGALRM, old)
            signal.setitimer(signal.ITIMER_REAL, left)
    assert _peak() - before < MEMORY, f"{what} takes {_peak() - before:,} kB"


def _peak():
    if not sys.platform.startswith("linux"):
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def contents(folder):
    """All files below a folder, to see that none was touched."""
    return {path: path.read_bytes() for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()}
