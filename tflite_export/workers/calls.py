"""Worker that calls a file: `python -m tflite_export.workers.calls FILE INPUTS.npz OUTPUTS.npz`."""

import sys
from typing import Any

import numpy as np

from tflite_export.limits import Watch
from tflite_export.runtime.litert import Runner
from tflite_export.subprocesses import fail


def main(file: str, source: str, target: str) -> None:
    """Call the file on each entry; names such as "0_1" are the call, and the number of the input or output."""
    watch = Watch()
    results: dict[str, Any] = {}
    try:
        runner = Runner(file, before=watch)
        with np.load(source) as archive:
            count = 1 + max(int(name.partition("_")[0]) for name in archive.files)
            for call in range(count):
                values = [archive[f"{call}_{place}"] for place in range(len(archive.files) // count)]
                results |= {f"{call}_{place}": output for place, output in enumerate(runner.call(values))}
    except (RuntimeError, ValueError, MemoryError, TypeError) as error:
        fail(f"LiteRT refuses them. Received: {error or 'too little memory'}")
    watch.stop()
    np.savez(target, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
