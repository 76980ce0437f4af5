"""One measurement: several worker processes asked in turn, and what they answered."""

import json
import os
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from processes import Worker, WorkerError
from rich.console import Console

console = Console(width=None if sys.stdout.isatty() else 160)


class Measurement:
    """The worker processes of one measurement, asked in turn. One that crashes drops out.

    Args:
        workers: The processes, just started, by name. Their first answer may hold `versions`, and is no measurement.
    """

    def __init__(self, workers: Mapping[str, Worker]):
        self.crashed = False
        self.answers: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.versions: dict[str, str] = {}
        self._workers: dict[str, Worker] = {}
        self.renew(workers)

    def renew(self, workers: Mapping[str, Worker]) -> None:
        """Goes on with other processes, whose answers come after those of the first."""
        self.close()
        self._workers = dict(workers)
        self._in_turn(lambda name, answer: self.versions.update(answer.get("versions", {})))

    def round(self) -> bool:
        """Asks each process once; False: none has anything left to measure."""
        before = sum(map(len, self.answers.values()))
        self._in_turn(lambda name, answer: self.answers[name].append(answer))
        return sum(map(len, self.answers.values())) > before

    def latest(self) -> dict[str, dict[str, Any]]:
        """The last answer of each of the present processes."""
        return {name: self.answers[name][-1] for name in self._workers if self.answers[name]}

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()

    def _in_turn(self, receive: Callable[[str, dict[str, Any]], Any]) -> None:
        for name, worker in list(self._workers.items()):
            try:
                answer = worker.ask()
            except WorkerError as error:
                console.print(f"{name}: {error}", style="red", markup=False)
                self.crashed = True
                self._workers.pop(name).close()
                continue
            if answer is not None:
                receive(name, answer)


def machine(versions: Mapping[str, str]) -> dict[str, Any]:
    """What the numbers were measured on. To be called before measuring, which is load of its own."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **versions,
    }


def finish(
    results: Mapping[str, Any], notes: Iterable[str], began: float, output: str | None, measured: Iterable[Measurement]
) -> None:
    """Ends a run: prints what it ran on, writes the results, and exits with code 1 if a process crashed.

    Args:
        results: What was measured; `machine` is what it ran on.
        notes: What else to say.
        began: `time.perf_counter()` when the run began.
        output: The JSON file to write to, if any.
        measured: Everything that was measured.
    """
    console.print(", ".join(f"{name} {value}" for name, value in results["machine"].items()), highlight=False)
    for note in notes:
        console.print(note)
    console.print(f"Took {time.perf_counter() - began:.0f} s.")
    if output:
        Path(output).write_text(json.dumps(results, indent=2) + "\n")
    if any(each.crashed for each in measured):
        sys.exit(1)
