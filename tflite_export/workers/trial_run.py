"""Worker of a trial run: `python -m tflite_export.workers.trial_run FILE` runs the file once, on zeros."""

import sys

from tflite_export.limits import Watch
from tflite_export.runtime.litert import Runner
from tflite_export.subprocesses import fail


def main(file: str) -> None:
    """Load the file and call it."""
    watch = Watch()
    try:
        runner = Runner(file, before=watch)
        runner.names(), runner.output_names()
        runner.call(runner.zeros())
    except (RuntimeError, ValueError, MemoryError, TypeError) as error:
        fail(f"LiteRT refuses it. Received: {error or 'too little memory'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
