"""The child that runs a file: `python -m tflite_export._verify FILE INPUTS.npz OUTPUTS.npz`.

It imports NumPy and LiteRT alone, as a program on a phone would: TensorFlow cannot lend the file an operator.
"""

import sys
from typing import Any

import numpy as np

from tflite_export.child import fail
from tflite_export.litert import Runner


def main(file: str, inputs: str, outputs: str) -> None:
    """Runs all samples with XNNPACK and without, then times single calls with it."""
    with np.load(inputs) as archive:
        batches = [archive[f"input_{i}"] for i in range(len(archive.files))]
    results: dict[str, Any] = {}
    for mode in ("xnnpack", "plain"):
        try:
            runner = Runner(file, xnnpack=mode == "xnnpack")
            for i, output in enumerate(runner.run(batches)):
                results[f"{mode}_{i}"] = output
            if mode == "xnnpack":
                results["seconds"] = np.array(runner.latencies())
        except (RuntimeError, ValueError) as error:
            fail(f"LiteRT cannot run the file ({mode} kernels). Received: {error}")
    np.savez(outputs, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
