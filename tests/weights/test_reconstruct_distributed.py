"""Several devices reconstruct as one does. Each run is a process: devices are counted when a backend starts."""

import os
import subprocess
import sys

import numpy as np
import pytest
from support.example_runs import NOT_INSTALLED
from support.reconstruction_runs import check_same
from support.zoo import BACKEND

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(BACKEND == "torch", reason="Keras distributes on TensorFlow and JAX"),
]

RUN = """
import sys
import numpy as np, keras
from keras_prune.masking.masked_weights import find_masked
from support.reconstruction_runs import make, results

def finish(model):
    found, pruned = results(model)
    np.savez(sys.argv[1], devices=devices, **found)
    return pruned
"""

TENSORFLOW = """
import tensorflow as tf
devices = int(sys.argv[2])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
if devices == 1:
    finish(make())
else:
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)])
    assert strategy.num_replicas_in_sync == devices
    with strategy.scope():
        model = make()
        if sys.argv[3] == "inside":
            finish(model)
    if sys.argv[3] == "outside":
        finish(model)
"""

JAX = """
import jax
devices = int(sys.argv[2])
assert jax.device_count() == devices
if sys.argv[3] == "data":
    keras.distribution.set_distribution(keras.distribution.DataParallel())
if sys.argv[3] == "model":
    mesh = keras.distribution.DeviceMesh((1, 2), ("batch", "model"), keras.distribution.list_devices())
    layout = keras.distribution.LayoutMap(mesh)
    layout["net/first/kernel"], layout["net/middle/kernel"] = (None, None, None, "model"), ("model", None)
    keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"))
pruned = finish(make())
if sys.argv[3] == "model":
    spec = jax.sharding.PartitionSpec
    parts = spec(None, None, None, "model"), spec("model", None)
    for weight, part in zip(find_masked(pruned), parts):
        assert [each.value.sharding.spec for each in (weight.weight, weight.mask)] == [part, part], weight.weight.path
"""


def run(path, devices, way):
    folders = [NOT_INSTALLED] * (BACKEND == "tensorflow") + [p for p in sys.path if p]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(folders),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    code = RUN + (TENSORFLOW if BACKEND == "tensorflow" else JAX)
    command = [sys.executable, "-c", code, str(path), str(devices), way]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(np.load(path))
    assert found.pop("devices") == devices
    return found


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return run(tmp_path_factory.mktemp("one") / "one.npz", 1, "")


@pytest.mark.parametrize("way", ["outside", "inside"] if BACKEND == "tensorflow" else ["data", "model"])
def test_two_devices_find_what_one_finds(way, one, tmp_path):
    check_same(one, run(tmp_path / "two.npz", 2, way), 1e-5)
