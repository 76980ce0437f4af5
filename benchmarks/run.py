"""Measures what pruning costs: training steps against dense ones and against tfmot, and single mask updates, large
ones and, on a small network, by importance.

    make bench
    python benchmarks/run.py --smoke

Each framework works in a subprocess (`step.py`, `mask_update.py`, `criteria.py`, and two of tfmot), on
processors only. All processes of a round live at the same time and are asked in turn, so whatever slows the machine
down for a while slows all of them down. Within a process the models take turns too (`turns.py`), and a ratio is that of
one round.

A limit that is missed is shown as such, and is no error: the exit code is 1 only if a process crashed.
"""

import sys
import time
from collections.abc import Collection, Mapping

import networks
import report
from absl import app, flags
from measurement import Measurement, console, finish, machine
from memory import HONEST
from processes import Worker
from turns import FREQUENCIES

_SMOKE = flags.DEFINE_bool("smoke", False, "Tiny networks and one round, to see whether everything runs.")
_TFMOT_PYTHON = flags.DEFINE_string("tfmot_python", None, "Python of an environment with tfmot; without: no tfmot.")
_BACKENDS = flags.DEFINE_list("backends", ["tensorflow", "jax", "torch"], "Backends to measure.")
_ROUNDS = flags.DEFINE_integer("rounds", 6, "Rounds of 100 steps of each model.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write the results to.")

SPARSITIES = (0.5, 0.8, 0.9, 0.95)
SLOW = ("jax", "torch")  # on processors, convolutions above all: they have every second round only
WEIGHTS = {False: "25 million", True: "250 thousand"}


def start(
    script: str,
    tfmot_script: str | None,
    arguments: list[str],
    environment: Mapping[str, str] | None = None,
    leave_out: Collection[str] = (),
) -> dict[str, Worker]:
    """The workers of one measurement: a script for each backend, and one for tfmot, if it can do the same."""
    arguments, environment = [*arguments, *(["--smoke"] if _SMOKE.value else [])], environment or {}
    workers = {
        backend: Worker(sys.executable, script, arguments, {"KERAS_BACKEND": backend, **environment})
        for backend in _BACKENDS.value
        if backend not in leave_out
    }
    if _TFMOT_PYTHON.value and tfmot_script is not None:
        workers[report.TFMOT] = Worker(_TFMOT_PYTHON.value, tfmot_script, arguments, dict(environment))
    return workers


def measure_steps(network: str) -> Measurement:
    rounds = 1 if _SMOKE.value else _ROUNDS.value
    measurement = Measurement({})
    for number in range(rounds):
        console.print(f"{network.upper()}: round {number + 1} of {rounds}: compiling")
        flags = [f"--network={network}"]
        measurement.renew(start("step.py", "tfmot_step.py", flags, leave_out=SLOW if number % 2 else ()))
        measurement.round()
        ratios = (
            f"{name} {' '.join(f'{report.ratio(costs, frequency):.3f}' for frequency in FREQUENCIES)}"
            for name, costs in measurement.latest().items()
        )
        console.print(f"{network.upper()}: {', '.join(ratios)}")
    measurement.close()
    return measurement


def measure_updates(of: str, environment: Mapping[str, str] | None = None) -> Measurement:
    """The same updates for their time and for their memory, which cannot be measured in one process."""
    console.print(f"Mask updates, {of}: building")
    sparsities = [f"--sparsity={sparsity}" for sparsity in SPARSITIES]
    measurement = Measurement(start("mask_update.py", "tfmot_mask_update.py", sparsities, environment))
    while measurement.round():
        done = (f"{name} {answer['seconds']:.3f} s" for name, answer in measurement.latest().items())
        console.print(f"Mask updates, {of}: {', '.join(done)}")
    measurement.close()
    return measurement


def measure_criteria() -> Measurement:
    rounds = 1 if _SMOKE.value else _ROUNDS.value
    console.print("Importances: compiling")
    measurement = Measurement(start("criteria.py", None, [f"--rounds={rounds}"]))
    for number in range(rounds):
        measurement.round()
        console.print(f"Importances: round {number + 1} of {rounds}")
    measurement.close()
    return measurement


def main(_: list[str]) -> None:
    began = time.perf_counter()
    computer = machine({})
    steps = {network: measure_steps(network) for network in networks.NETWORKS}
    updates, memory = measure_updates("time"), measure_updates("memory", HONEST)
    criteria = measure_criteria()
    results = {
        "smoke": _SMOKE.value,
        "machine": computer | steps["cnn"].versions,
        "steps": [row for network, done in steps.items() for row in report.step_rows(network, done.answers)],
        "updates": report.update_rows(updates.answers, memory.answers),
        "criteria": report.criteria_rows(criteria.answers),
    }
    console.print()
    console.print(report.step_table(results["steps"]))
    console.print(report.update_table(results["updates"], SPARSITIES, WEIGHTS[_SMOKE.value]))
    console.print(report.criteria_table(results["criteria"]))
    notes = []
    if not _TFMOT_PYTHON.value:
        notes.append("tfmot was not measured: pass --tfmot_python, as `make bench` does.")
    if _SMOKE.value:
        notes.append("The numbers of --smoke mean nothing: the networks are tiny.")
    finish(results, notes, began, _OUTPUT.value, (updates, memory, criteria, *steps.values()))


if __name__ == "__main__":
    app.run(main)
