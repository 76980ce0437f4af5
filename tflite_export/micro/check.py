"""`micro_resolver` and `check_micro`: whether TensorFlow Lite Micro can run a file, and which operators it needs."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_export import subprocesses
from tflite_export.arrays import call_sizes, relative_error
from tflite_export.errors import ExportError, require
from tflite_export.limits import TIMEOUT, Limits
from tflite_export.micro.known_problems import find_refused, find_sparse, find_wrong
from tflite_export.micro.operators import method
from tflite_export.reader import flatbuffer
from tflite_export.reporting import Bars, Report, Table
from tflite_export.runtime.calls import call_with_limits
from tflite_export.runtime.ports import Ports
from tflite_export.runtime.trial_run import check_runs
from tflite_export.scratch import temporary_folder

_APART = 0.2  # of the spread of outputs: rounding is far below, and garbage above


@dataclass(frozen=True)
class MicroReport(Report):
    """Report of a file on TensorFlow Lite Micro.

    Attributes:
        path: The file.
        bytes: Its size, in bytes, which flash memory must hold.
        problems: Why TensorFlow Lite Micro cannot run it, or computes something else than LiteRT; empty if no problem
            is known.
        ran: Whether TensorFlow Lite Micro ran it here: without the package `tflite-micro` it is only inspected.
        arena_bytes: The memory for tensors and bookkeeping, in bytes, on this 64-bit machine; on 32 bits the
            bookkeeping is smaller. None if it did not run.
        samples: The number of samples it ran on.
        max_difference: The largest difference of its outputs from LiteRT's, in real numbers; None if one of the two
            did not run it.
        refused: Why LiteRT cannot run it here, so that there is nothing to compare with; "" if it can.
    """

    path: Path
    bytes: int
    problems: tuple[str, ...]
    ran: bool
    arena_bytes: int | None
    samples: int
    max_difference: float | None
    refused: str = ""

    def _tables(self) -> list[Table]:
        rows = [("size", f"{self.bytes:,} bytes"), *(("problem", problem) for problem in self.problems)]
        if self.ran:
            rows.append(("arena", f"{self.arena_bytes:,} bytes"))
        if self.max_difference is not None:
            rows.append(("difference from LiteRT", f"{self.max_difference:.3g} ({self.samples} samples)"))
        if not self.ran and not self.problems:
            rows.append(("not run", "no problem is known; to run it: pip install --pre tflite-micro"))
        if self.refused:
            rows.append(("not compared", self.refused))
        return [Table(None, rows, self._title())]

    def _bars(self) -> Bars:
        names = ("file (flash memory)", "arena (RAM)")
        return Bars(self._title(), "bytes", names, {"memory": (self.bytes, self.arena_bytes)})

    def _title(self) -> str:
        return f"{self.path.name} on TensorFlow Lite Micro"


def micro_resolver(path: str | os.PathLike[str]) -> str:
    """Return the C++ code that registers only the operators that a file needs in TensorFlow Lite Micro.

    Each operator that is registered takes flash memory, used or not; TensorFlow Lite Micro has no `AllOpsResolver`.

    Args:
        path: A `.tflite` file.

    Returns:
        A type `ModelOpResolver` and a function `RegisterOps`, to be pasted into a C++ file.

    Raises:
        ValueError: There is no such file, it is damaged, or TensorFlow Lite Micro lacks some of its
            operators, refuses its weights or computes wrong values from them.
        ImportError: ai-edge-litert is not installed.

    Example:

    ```python
    import keras
    import tflite_export

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    tflite_export.export(model, "model.tflite")
    print(tflite_export.micro_resolver("model.tflite"))
    ```
    """
    model = flatbuffer.read(flatbuffer.load(path))
    names = flatbuffer.count_operators(model)
    if lacking := [name for name in names if method(name) is None]:
        raise ValueError(
            "TensorFlow Lite Micro must have all operators of the file. "
            f"Received: {os.fspath(path)!r} with {', '.join(lacking)}"
        )
    if problems := (*find_refused(model), *find_wrong(model), *find_sparse(model)):
        raise ValueError(
            "TensorFlow Lite Micro must be able to run the file; "
            f'quantize=None, or quantize="int8" with `representative_data`, makes such files. '
            f"Received: {os.fspath(path)!r}: {'; '.join(problems)}"
        )
    calls = "\n".join(f"  TF_LITE_ENSURE_STATUS(resolver.{method(name)}());" for name in sorted(names))
    return (
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n\n'
        f"using ModelOpResolver = tflite::MicroMutableOpResolver<{max(1, len(names))}>;\n\n"
        "TfLiteStatus RegisterOps(ModelOpResolver& resolver) {\n"
        f"{calls}\n"
        "  return kTfLiteOk;\n"
        "}\n"
    )


def check_micro(
    path: str | os.PathLike[str],
    inputs: Any = None,
    *,
    timeout: float | None = TIMEOUT,
    memory_limit: int | None = None,
) -> MicroReport:
    """Check whether TensorFlow Lite Micro can run a file, and how much memory it takes.

    With the package `tflite-micro` (Linux on x86-64) the file runs in a subprocess, on the same inputs as LiteRT, and
    outputs that are not LiteRT's are a problem. Without it, the file is inspected for what TensorFlow Lite Micro
    refuses or gets wrong: operators that it lacks, zeros that are left out, float16 weights, int8 weights of
    floating-point operators. A file that LiteRT cannot run (with TensorFlow Lite Micro's own operators, say) is
    checked too, without a comparison.

    Args:
        path: A `.tflite` file.
        inputs: The inputs of the run, as `predict` takes them. Defaults to None, synthetic inputs.
        timeout: Seconds that loading the file, or one call of it, may take; None: no limit. Defaults to 120.
        memory_limit: Bytes that a subprocess may take for it (on Linux). Defaults to None: the memory of the machine.

    Returns:
        The problems, or the size of the arena in bytes and the difference from LiteRT.

    Raises:
        ValueError: There is no such file, it is damaged, or the inputs do not fit it.
        ImportError: ai-edge-litert is not installed.

    Example:

    ```python
    import keras
    import tflite_export

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    tflite_export.export(model, "model.tflite")
    report = tflite_export.check_micro("model.tflite")
    print(report.problems, report.arena_bytes)
    ```
    """
    limits = Limits.checked(timeout, memory_limit)
    require("ai_edge_litert")
    content = flatbuffer.load(path)
    model = flatbuffer.read(content)
    refused = ""
    try:
        check_runs(content, os.fspath(path), limits)
    except ValueError as error:
        refused = str(error)
    ports = Ports.of(model)
    if inputs is None:
        calls = [ports.synthetic_inputs(seed) for seed in range(8)]
        samples = sum(len(call[0]) if call[0].ndim else 1 for call in calls)
    else:
        batches = ports.batches(inputs)
        samples = len(batches[0])
        calls = ports.calls(batches, call_sizes(samples, ports.batch or 1))
    wrong, sparse = find_wrong(model), find_sparse(model)
    problems = (*find_refused(model), *wrong)
    if sparse or importlib.util.find_spec("tflite_micro") is None:
        # It does not check whether zeros are left out: it would take the stored values for all of them.
        return MicroReport(Path(path), len(content), (*problems, *sparse), False, None, 0, None, refused)
    try:
        arena, outputs = _run(content, calls, len(model.graphs[0].outputs), limits)
    except ExportError as error:
        return MicroReport(Path(path), len(content), problems or (str(error),), False, None, 0, None, refused)
    if refused:
        return MicroReport(Path(path), len(content), wrong, True, arena, samples, None, refused)
    expected = [ports.real(each) for each in call_with_limits(content, calls, limits)]
    found = [ports.real(call) for call in outputs]
    differences = [
        np.abs(x.astype("float64") - y.astype("float64")).max(initial=0.0)
        for call, reference in zip(found, expected, strict=True)
        for x, y in zip(call, reference, strict=True)
    ]
    problems = (*wrong, *_apart(found, expected))
    return MicroReport(Path(path), len(content), problems, True, arena, samples, float(np.max(differences)))


def _apart(found: list[list[np.ndarray]], expected: list[list[np.ndarray]]) -> tuple[str, ...]:
    """A problem if outputs are not those of LiteRT, whose integer kernels may round otherwise."""
    worst = 0.0
    for values, references in zip(zip(*found, strict=True), zip(*expected, strict=True), strict=True):
        value, reference = (np.stack(each).astype("float64") for each in (values, references))
        worst = max(worst, relative_error(value, reference))
    if worst <= _APART:
        return ()
    return (f"its outputs are not LiteRT's: the error is {worst:.0%} of the spread of LiteRT's outputs",)


def _run(
    content: bytes, calls: list[list[np.ndarray]], outputs: int, limits: Limits
) -> tuple[int, list[list[np.ndarray]]]:
    """The size of the arena, and the outputs of each call, as the file stores them."""
    with temporary_folder() as folder:
        file, source, target = (folder / each for each in ("model.tflite", "inputs.npz", "outputs.npz"))
        file.write_bytes(content)
        arrays: dict[str, Any] = {f"{i}_{j}": x for i, call in enumerate(calls) for j, x in enumerate(call)}
        np.savez(source, **arrays)
        line = (str(file), str(source), str(target), str(len(calls)), str(outputs))
        task = "the run in TensorFlow Lite Micro"
        subprocesses.run("tflite_export.workers.micro", *line, task=task, limits=limits)
        with np.load(target) as archive:
            found = [[archive[f"{i}_{j}"] for j in range(outputs)] for i in range(len(calls))]
            return int(archive["arena"]), found
