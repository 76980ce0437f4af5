"""Worker that times files: `python -m tflite_export.workers.benchmark RUNS THREADS TIMES.npz FILE INPUTS.npz ...`.

Each round is a new process: where the files are in memory differs from process to process, and so does their speed.
"""

import sys

import numpy as np

from tflite_export.limits import Watch
from tflite_export.runtime.litert import Runner, time_calls
from tflite_export.subprocesses import fail


def main(runs: str, threads: str, target: str, *files: str) -> None:
    """Load all files, then call them in turn."""
    watch = Watch()
    try:
        runners = []
        for file, inputs in zip(files[::2], files[1::2], strict=True):
            runner = Runner(file, threads=int(threads), before=watch)
            with np.load(inputs) as archive:
                runner.set([archive[f"arr_{i}"] for i in range(len(archive.files))])
            runners.append(runner)
        times = time_calls(runners, runs=int(runs), before=watch)
    except (RuntimeError, ValueError, MemoryError) as error:
        fail(f"LiteRT cannot run the files. Received: {error}")
    watch.stop()
    np.savez(target, times=np.array(times))


if __name__ == "__main__":
    main(*sys.argv[1:])
