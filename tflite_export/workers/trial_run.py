"""The child that tries a file: `python -m tflite_export.workers.trial_run FILE` runs it once, on zeros."""

import contextlib
import faulthandler
import os
import sys

from tflite_export.runtime.litert import Runner
from tflite_export.subprocesses import fail

_SECONDS = 120  # a loop without end looks like a slow model; no model that one waits for takes so long


def main(file: str) -> None:
    """Loads the file and calls it."""
    limit_memory()
    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    try:
        runner = Runner(file)
        runner.names(), runner.output_names()
        runner.call(runner.zeros())
    except (RuntimeError, ValueError, MemoryError, TypeError) as error:
        fail(f"LiteRT refuses it. Received: {error}")


def limit_memory() -> None:
    """No more than the machine has: a damaged shape can ask for terabytes, and would take down others."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # where there is no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),) * 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
