"""Worker of a trial run: `python -m tflite_export.workers.trial_run FILE` runs the file once, on zeros."""

import contextlib
import faulthandler
import os
import sys

from tflite_export.runtime.litert import Runner
from tflite_export.subprocesses import fail

_SECONDS = 120  # an endless loop cannot be told from a slow model; no useful model takes so long


def main(file: str) -> None:
    """Load the file and call it."""
    limit_memory()
    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    try:
        runner = Runner(file)
        runner.names(), runner.output_names()
        runner.call(runner.zeros())
    except (RuntimeError, ValueError, MemoryError, TypeError) as error:
        fail(f"LiteRT refuses it. Received: {error}")


def limit_memory() -> None:
    """Limit this process to the memory of the machine: a damaged shape can ask for terabytes, at the cost of others."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # where there is no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),) * 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
