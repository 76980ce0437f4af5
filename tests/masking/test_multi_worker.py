"""Two processes train one model: same masks on each, the chief's checkpoint, and a job that resumes after a kill."""

import json
import os
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from support import multi_worker
from support.example_runs import NOT_INSTALLED
from support.zoo import BACKEND

from keras_prune.masking.masked_weights import find_masked

pytestmark = [
    pytest.mark.core,
    pytest.mark.slow,
    pytest.mark.skipif(BACKEND == "torch", reason="Keras distributes on TensorFlow and JAX"),
]

LONG = 900  # seconds that a job may take on a busy machine
WHEN_ALONE = 5  # seconds in which the other worker of a killed one may end by itself


def free_ports(count):
    """Ports that nobody has, held all at once so that they differ."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(folder, index, ports, extra):
    addresses = [f"localhost:{port}" for port in ports]
    path = [NOT_INSTALLED] * (BACKEND == "tensorflow") + [p for p in sys.path if p]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "CUDA_VISIBLE_DEVICES": "-1"}
    environment |= {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"} | extra
    arguments = [str(folder)]
    if BACKEND == "tensorflow":
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    else:
        arguments += [str(index), addresses[0]]
    with open(folder / f"{index}.log", "w") as log:
        command = [sys.executable, multi_worker.__file__, *arguments]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def run_job(folder, **extra):
    """Runs both workers to their ends, and returns their exit codes. When one was killed, the other has a short while
    to end, as whoever looks after a job would give it."""
    ports = free_ports(2)
    workers = [start(folder, index, ports, extra) for index in range(2)]
    deadline = time.monotonic() + LONG
    try:
        while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
            if any(worker.poll() not in (None, 0) for worker in workers):
                deadline = min(deadline, time.monotonic() + WHEN_ALONE)
            time.sleep(0.1)
    finally:
        for worker in workers:
            worker.kill()
        codes = [worker.wait() for worker in workers]
    return codes


def logs(folder):
    return "\n\n".join(f"Worker {index}:\n{(folder / f'{index}.log').read_text()[-4000:]}" for index in range(2))


def finished(folder):
    """What both workers hold in the end."""
    assert run_job(folder) == [0, 0], logs(folder)
    return [np.load(folder / f"{index}.npz") for index in range(2)]


def check_agreement(first, second, name):
    for number in range(2):
        kept, weight = first[f"{name}_mask{number}"], first[f"{name}_weight{number}"]
        np.testing.assert_array_equal(kept, second[f"{name}_mask{number}"])
        np.testing.assert_array_equal(weight, second[f"{name}_weight{number}"])
        assert (~kept).mean() == 0.75
        assert (weight[~kept] == 0).all()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a job that nobody disturbed, and what its workers held."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, finished(folder)


def test_two_workers_have_the_masks_of_one_process(whole):
    _, (first, second) = whole
    check_agreement(first, second, "magnitude")
    keras.utils.set_random_seed(5)
    model = multi_worker.make()
    settings = {"batch_size": multi_worker.BATCH, "epochs": multi_worker.EPOCHS, "shuffle": False, "verbose": 0}
    model.fit(*multi_worker.data(), callbacks=[multi_worker.pruning()], **settings)
    for name, array in multi_worker.held(model, "magnitude").items():
        np.testing.assert_allclose(first[name], array, rtol=1e-4, atol=1e-5)


def test_workers_that_measure_on_data_of_their_own_take_the_masks_of_the_first(whole):
    folder, _ = whole
    check_agreement(*(np.load(folder / f"{index}_taylor.npz") for index in range(2)), "taylor")


@pytest.mark.skipif(BACKEND != "tensorflow", reason="JAX has no scope of a strategy")
def test_measuring_in_the_scope_of_several_workers_is_refused(whole):
    folder, _ = whole
    for index in range(2):
        refused = str(np.load(folder / f"{index}_taylor.npz")["refused"])
        assert "outside of `strategy.scope()`" in refused
        assert refused.endswith("Received: the scope of a strategy of 2 workers")


def test_the_model_that_the_chief_saved_has_its_masks(whole):
    folder, (first, _) = whole
    model = keras.saving.load_model(folder / "model.keras")
    assert len(find_masked(model)) == 2
    for name, array in multi_worker.held(model, "magnitude").items():
        np.testing.assert_array_equal(first[name], array)


def test_a_job_whose_worker_was_killed_resumes(whole, tmp_path):
    chief, killed = run_job(tmp_path, KILL_AT_STEP="20")  # in the third epoch
    assert killed == -9, logs(tmp_path)
    assert chief != 0, logs(tmp_path)
    assert not (tmp_path / "0.npz").exists()
    first, second = finished(tmp_path)
    assert (first["begin"], second["begin"]) == (2, 2)
    check_agreement(first, second, "magnitude")
    _, (undisturbed, _) = whole
    for name in undisturbed.files:
        if name != "begin":
            np.testing.assert_allclose(first[name], undisturbed[name], rtol=1e-5, atol=1e-6)
