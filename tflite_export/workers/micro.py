"""Worker that runs a file in TensorFlow Lite Micro:
`python -m tflite_export.workers.micro FILE INPUTS.npz OUTPUTS.npz CALLS OUTPUTS`.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tflite_export.limits import Watch
from tflite_export.subprocesses import fail

_ARENA = 1 << 26  # more than any microcontroller has


def main(file: str, source: str, target: str, calls: str, outputs: str) -> None:
    """Run the file on each sample."""
    from tflite_micro import runtime

    watch = Watch()
    content = Path(file).read_bytes()
    results: dict[str, Any] = {}
    arena = 10 * len(content) + _ARENA
    # Names such as "0_1": the call, and the number of the input or output.
    with np.load(source) as archive:
        inputs = dict(archive)
    try:
        interpreter, said = _listen(lambda: runtime.Interpreter.from_bytes(content, arena_size=arena))
        for call in range(int(calls)):
            watch()
            for place in range(len(inputs) // int(calls)):
                interpreter.set_input(inputs[f"{call}_{place}"], place)
            _, said = _listen(interpreter.invoke)
            for place in range(int(outputs)):
                results[f"{call}_{place}"] = np.array(interpreter.get_output(place))
    except _Failed as failure:
        fail(f"it refuses the file. Received: {failure}")
    watch.stop()
    _, said = _listen(interpreter.print_allocations)
    found = re.search(r"Arena allocation total (\d+) bytes", said)
    if found is None:
        fail(f"it does not report the size of its arena. Received: {said!r}")
    else:
        np.savez(target, arena=int(found[1]), **results)


class _Failed(Exception):
    """The messages of TensorFlow Lite Micro, and its exception."""


def _listen(function: Callable[[], Any]) -> tuple[Any, str]:
    """The result of a function, and the text that its C++ code wrote to standard error."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            result = function()
        except (RuntimeError, ValueError, TypeError) as error:
            said.seek(0)
            lines = said.read().decode(errors="replace").split("\n")
            raise _Failed("; ".join(filter(None, (line.strip() for line in (*lines, str(error)))))) from error
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        said.seek(0)
        return result, said.read().decode(errors="replace")


if __name__ == "__main__":
    main(*sys.argv[1:])
