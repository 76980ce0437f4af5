"""Worker that runs a file: `python -m tflite_export.workers.verify FILE INPUTS.npz OUTPUTS.npz`.

It imports only NumPy and LiteRT, as a program on a phone would: no operator can come from TensorFlow.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tflite_export.limits import Watch
from tflite_export.runtime.litert import Runner
from tflite_export.subprocesses import fail

_STATUS = Path("/proc/self/status")


def main(file: str, inputs: str, outputs: str) -> None:
    """Run all samples with XNNPACK and without, those with labels with it, then time single calls.

    INPUTS holds `input_0`, `input_1`, ..., the `sizes` of the calls, and `labelled_0`, ..., if there are labels.
    """
    with np.load(inputs) as archive:
        batches = _listed(archive, "input")
        labelled = _listed(archive, "labelled")
        sizes = archive["sizes"].tolist()
    results: dict[str, Any] = {}
    watch = Watch()
    threads = sorted({1, os.cpu_count() or 1})
    for mode in ("xnnpack", "plain"):
        try:
            before = _peak_memory()
            runner = Runner(file, xnnpack=mode == "xnnpack", before=watch)
            results |= _named(mode, runner.run(batches, sizes=sizes))
            if mode == "xnnpack":
                results["memory"] = np.array(_peak_memory() - before)
                single = runner.calls(runner.batches(batches), [min(runner.batch or 1, len(batches[0]))])[0]
                runner.set(single)
                results["seconds_1"] = np.array(runner.latencies())
                if labelled:
                    results |= _named("labelled", runner.run(labelled))
                for count in threads[1:]:
                    runner = Runner(file, threads=count, before=watch)
                    runner.set(single)
                    results[f"seconds_{count}"] = np.array(runner.latencies())
        except (RuntimeError, ValueError, MemoryError) as error:
            fail(f"LiteRT cannot run the file ({mode} kernels). Received: {error}")
    watch.stop()
    np.savez(outputs, **results)


def _listed(archive: Any, name: str) -> list[np.ndarray[Any, np.dtype[Any]]]:
    count = sum(entry.startswith(f"{name}_") for entry in archive.files)
    return [archive[f"{name}_{place}"] for place in range(count)]


def _named(name: str, values: list[np.ndarray[Any, np.dtype[Any]]]) -> dict[str, Any]:
    return {f"{name}_{place}": value for place, value in enumerate(values)}


def _peak_memory() -> int:
    """The peak memory of this process so far, in bytes; 0 where the system does not report it."""
    if not _STATUS.exists():
        return 0
    (line,) = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
