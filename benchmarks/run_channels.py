"""Measures structured pruning: four networks against Torch-Pruning, and how the analysis grows with the model.

    make bench-channels
    python benchmarks/run_channels.py --smoke

Ours returns a new model, and making its layers is timed; Torch-Pruning cuts the one that it is given, so that its time
with a copy before is told too. Each works in a subprocess (`channels.py`, `torch_pruning_channels.py`), on
processors only. The processes of a network live at the same time and are asked in turn, as in `run.py`; the first
answer of each is reported apart.

A limit that is missed is shown as such, and is no error: the exit code is 1 only if a process crashed.
"""

import sys
import time

import channel_report
from absl import app, flags
from measurement import Measurement, console, finish, machine
from processes import Worker

NETWORKS = ["ResNet50", "DenseNet121", "MobileNetV2", "EfficientNetB0"]

_SMOKE = flags.DEFINE_bool("smoke", False, "One network of small images, one round, small chains: whether all runs.")
_PEER_PYTHON = flags.DEFINE_string("torch_pruning_python", None, "Python with Torch-Pruning; without: not measured.")
_BACKENDS = flags.DEFINE_list("backends", ["tensorflow", "jax", "torch"], "Backends of Keras to measure.")
_NETWORKS = flags.DEFINE_list("networks", NETWORKS, "Networks to prune.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds after the first.", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 224, "Height and width of the images. Torch-Pruning runs the network once.")
_THREADS = flags.DEFINE_integer("threads", None, "Threads of each process; on a busy machine 1 disturbs PyTorch least.")
_NODES = flags.DEFINE_list("nodes", ["100", "300", "1000", "3000", "10000"], "Sizes of the chains.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write the results to.")


def environment() -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return dict.fromkeys(names, str(_THREADS.value)) if _THREADS.value else {}


def measure_network(network: str) -> Measurement:
    arguments = [f"--network={network}", f"--size={32 if _SMOKE.value else _SIZE.value}"]
    workers = {
        backend: Worker(sys.executable, "channels.py", arguments, environment() | {"KERAS_BACKEND": backend})
        for backend in _BACKENDS.value
    }
    if _PEER_PYTHON.value:
        workers[channel_report.PEER] = Worker(_PEER_PYTHON.value, "torch_pruning_channels.py", arguments, environment())
    measurement = Measurement(workers)
    for number in range(2 if _SMOKE.value else 1 + _ROUNDS.value):
        measurement.round()
        done = (f"{name} {answer['prune']['seconds']:.3f} s" for name, answer in measurement.latest().items())
        console.print(f"{network}: {f'round {number}' if number else 'first'}: {', '.join(done)}")
    measurement.close()
    return measurement


def measure_scaling() -> Measurement:
    nodes = ["20", "40"] if _SMOKE.value else _NODES.value
    worker = Worker(
        sys.executable, "scaling.py", [f"--nodes={count}" for count in nodes], {"KERAS_BACKEND": "tensorflow"}
    )
    measurement = Measurement({"tensorflow": worker})
    while measurement.round():
        answer = measurement.latest()["tensorflow"]
        console.print(f"Chain of {answer['nodes']} nodes: analysis {answer['analyze']:.3f} s")
    measurement.close()
    return measurement


def main(_: list[str]) -> None:
    began = time.perf_counter()
    computer = machine({})
    networks = {name: measure_network(name) for name in (_NETWORKS.value[:1] if _SMOKE.value else _NETWORKS.value)}
    scaling = measure_scaling()
    for measurement in (*networks.values(), scaling):
        computer |= measurement.versions
    results = {
        "smoke": _SMOKE.value,
        "machine": computer,
        "networks": [row for name, done in networks.items() for row in channel_report.network_rows(name, done.answers)],
        "scaling": channel_report.scaling_rows(scaling.answers["tensorflow"]),
    }
    console.print()
    console.print(channel_report.network_table(results["networks"]))
    console.print(channel_report.scaling_table(results["scaling"]))
    notes = []
    if computer["load"] > 0.5:
        notes.append("The machine was busy, which slows several threads down far more than one: see --threads.")
    if not _PEER_PYTHON.value:
        notes.append("Torch-Pruning was not measured: pass --torch_pruning_python, as `make bench-channels` does.")
    if _SMOKE.value:
        notes.append("The numbers of --smoke mean nothing: images and chains are tiny, and rounds few.")
    finish(results, notes, began, _OUTPUT.value, (scaling, *networks.values()))


if __name__ == "__main__":
    app.run(main)
