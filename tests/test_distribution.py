"""Two devices give the same masks as one. Each run is a process: devices are counted when a backend starts."""

import os
import subprocess
import sys

import numpy as np
import pytest
from zoo import BACKEND

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(BACKEND == "torch", reason="Keras distributes on TensorFlow and JAX"),
]

TRAIN = """
import sys
import numpy as np, keras, keras_prune as kp
from keras_prune.masks import find_masked

importance = sys.argv[3]

def train():
    keras.utils.set_random_seed(5)
    model = keras.Sequential([
        keras.Input((12,)),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.LayerNormalization(),
        keras.layers.Dense(4),
    ])
    model = kp.wrap_pruning(model, movement=importance == "movement")
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    return model

def finish(model):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(128, 12)).astype("float32"), rng.normal(size=(128, 4)).astype("float32")
    schedule = kp.PolynomialDecay(final_sparsity=0.75, end_step=12)
    pruning = kp.PruningSchedule(schedule, importance=importance, frequency=3)
    history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, callbacks=[pruning])
    arrays = {f"mask{i}": w.kept() for i, w in enumerate(find_masked(model))}
    arrays |= {f"weight{i}": keras.ops.convert_to_numpy(w.weight) for i, w in enumerate(find_masked(model))}
    np.savez(sys.argv[1], sparsity=history.history["sparsity"], devices=devices, **arrays)
"""

TENSORFLOW = """
import tensorflow as tf
devices = int(sys.argv[2])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
if devices == 1:
    finish(train())
else:
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)])
    assert strategy.num_replicas_in_sync == devices
    with strategy.scope():
        model = train()
    finish(model)
"""

JAX = """
import jax
devices = int(sys.argv[2])
assert jax.device_count() == devices
if devices > 1:
    keras.distribution.set_distribution(keras.distribution.DataParallel())
finish(train())
"""


def run(path, devices, importance):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    code = TRAIN + (TENSORFLOW if BACKEND == "tensorflow" else JAX)
    arguments = str(path), str(devices), importance
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)


def masks(path, devices, importance):
    done = run(path, devices, importance)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(path)


# With "taylor" the masks are measured, on a copy, on a sample of what `fit` trains on.
@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
def test_two_devices_give_the_same_masks_as_one(importance, tmp_path):
    one, two = (masks(tmp_path / f"{devices}.npz", devices, importance) for devices in (1, 2))
    assert (one["devices"], two["devices"]) == (1, 2)
    np.testing.assert_array_equal(one["sparsity"], two["sparsity"])
    for index in range(2):
        np.testing.assert_array_equal(one[f"mask{index}"], two[f"mask{index}"])
        assert (~two[f"mask{index}"]).mean() == 0.75
        assert (two[f"weight{index}"][~two[f"mask{index}"]] == 0).all()
        np.testing.assert_allclose(one[f"weight{index}"], two[f"weight{index}"], rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="on JAX, a step is one program for all devices")
def test_movement_that_each_device_sees_a_part_of_is_refused(tmp_path):
    done = run(tmp_path / "never.npz", 2, "movement")
    assert done.returncode == 1
    assert "Each device sees a part of the movement of weights" in done.stderr
    assert "Received: 2 devices, MirroredStrategy" in done.stderr
