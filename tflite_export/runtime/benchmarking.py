"""`benchmark`: the latency of files, side by side."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_export import subprocesses
from tflite_export.errors import ExportError, require
from tflite_export.limits import TIMEOUT, Limits
from tflite_export.reader import flatbuffer
from tflite_export.reporting import Bars, Report, Table, shows_bars
from tflite_export.runtime.ports import Ports
from tflite_export.runtime.trial_run import check_runs
from tflite_export.scratch import temporary_folder
from tflite_export.timing import CallTime
from tflite_export.validation import check_integer, is_integer

_ROUNDS = 5  # processes among which the calls are divided


@dataclass(frozen=True)
class Timing(CallTime):
    """Time of a call of one file with one number of threads: a `CallTime`, and

    Attributes:
        path: The file.
        ratio: Its median over that of the first file with as many threads: 0.5 is twice as fast.
    """

    path: Path
    ratio: float


@dataclass(frozen=True)
class Benchmark(Report):
    """Report of the latency of files.

    Attributes:
        timings: One for each number of threads and file, in the order of the arguments.
    """

    timings: tuple[Timing, ...]

    def _tables(self) -> list[Table]:
        headings = ("File", "Threads", "Median ms", "p10 ms", "p90 ms", "Ratio to the first")
        rows = [
            (
                timing.path.name,
                str(timing.threads),
                *(f"{value:.3g}" for value in (timing.median_ms, timing.p10_ms, timing.p90_ms)),
                f"{timing.ratio:.2f}",
            )
            for timing in self.timings
        ]
        return [Table(headings, rows)]

    def _bars(self) -> Bars:
        several = len({timing.threads for timing in self.timings}) > 1
        names = [f"{each.path.name}, threads: {each.threads}" if several else each.path.name for each in self.timings]
        values = {
            "10th percentile": [timing.p10_ms for timing in self.timings],
            "median": [timing.median_ms for timing in self.timings],
            "90th percentile": [timing.p90_ms for timing in self.timings],
        }
        return Bars("Time of a call", "ms", names, values)


def benchmark(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    runs: int = 100,
    threads: Sequence[int] = (1,),
    inputs: Any = None,
    timeout: float | None = TIMEOUT,
    memory_limit: int | None = None,
) -> Benchmark:
    """Time `.tflite` files on this machine, in subprocesses.

    The files take turns, call by call, so that other load on the machine affects all of them alike. A progress bar is
    shown in a terminal.

    Args:
        paths: The files. The others are compared with the first.
        runs: How many calls of each file are timed, after some that warm up. Defaults to 100.
        threads: Numbers of threads; all files are timed with each. Defaults to (1,).
        inputs: The inputs of the calls, as `predict` takes them; the first sample is used, or as many as a file's
            batch holds, and must be valid for all files. Defaults to None: synthetic inputs, normal numbers of each
            file's types and shapes; ids are 0.
        timeout: Seconds that loading a file, or one call of it, may take; None: no limit. Defaults to 120.
        memory_limit: Bytes that a subprocess may take for the files (on Linux). Defaults to None: the memory of the
            machine.

    Returns:
        Median, 10th and 90th percentile in milliseconds of each file, and the ratio to the first.

    Raises:
        ValueError: An argument is not as described, or a file is damaged or cannot be run within the limits.
        ImportError: ai-edge-litert is not installed.

    Example:

    ```python
    import keras
    import tflite_export

    for units in (64, 8):
        model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(units), keras.layers.Dense(2)])
        tflite_export.export(model, f"dense{units}.tflite")
    print(tflite_export.benchmark(["dense64.tflite", "dense8.tflite"], runs=20))
    ```
    """
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths) if isinstance(paths, Sequence) else []
    if not files:
        raise ValueError(f"`paths` must name at least one file. Received: paths={paths!r}")
    runs = check_integer(runs, "runs", 1)
    counts = [int(n) for n in threads if is_integer(n, 1)] if isinstance(threads, list | tuple) else []
    if not counts or len(set(counts)) < len(threads):
        raise ValueError(
            f"`threads` must be different whole numbers of at least 1, as (1, 4). Received: threads={threads!r}"
        )
    limits = Limits.checked(timeout, memory_limit)
    require("ai_edge_litert")
    contents = [flatbuffer.load(file) for file in files]
    for file, content in zip(files, contents, strict=True):
        check_runs(content, os.fspath(file), limits)
    timings: list[Timing] = []
    with temporary_folder() as folder:
        arguments = []
        for place, content in enumerate(contents):
            file, values = folder / f"{place}.tflite", folder / f"{place}.npz"
            file.write_bytes(content)
            np.savez(values, *_inputs(content, inputs))
            arguments += [str(file), str(values)]
        times = _times(runs, counts, arguments, folder / "times.npz", limits)
        for number in counts:
            calls = [CallTime.of(number, seconds) for seconds in times[number]]
            timings += [
                Timing(**vars(call), path=Path(file), ratio=call.median_ms / calls[0].median_ms)
                for file, call in zip(files, calls, strict=True)
            ]
    return Benchmark(tuple(timings))


def _inputs(content: bytes, inputs: Any) -> list[np.ndarray]:
    ports = Ports.of(flatbuffer.read(content))
    if inputs is None:
        return ports.synthetic_inputs()
    batches = ports.batches(inputs)
    return ports.calls(batches, [min(ports.batch or 1, len(batches[0]))])[0]


def _times(
    runs: int, threads: Sequence[int], arguments: Sequence[str], target: Path, limits: Limits
) -> dict[int, np.ndarray]:
    """Seconds of each call, (files, runs), for each number of threads."""
    sizes = [len(part) for part in np.array_split(np.arange(runs), _ROUNDS) if len(part)]
    rounds = [(number, size) for size in sizes for number in threads]
    found: dict[int, list[np.ndarray]] = {number: [] for number in threads}
    for number, size in _track(rounds):
        line = (str(size), str(number), str(target), *arguments)
        try:
            subprocesses.run("tflite_export.workers.benchmark", *line, task="the benchmark", limits=limits)
        except ExportError as error:
            raise ValueError(f"LiteRT must be able to run the files, but {error}") from error
        with np.load(target) as archive:
            found[number].append(archive["times"])
    return {number: np.concatenate(parts, axis=1) for number, parts in found.items()}


def _track(rounds: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """A bar on standard error, where that is a terminal. Not Keras's: a Raspberry Pi has LiteRT alone."""
    require("rich", user="A benchmark")
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    shown = shows_bars(sys.stderr)
    yield from track(rounds, "benchmark", console=console, transient=True, disable=not shown)
