"""Two devices give the same masks as one. Each run is a process: devices are counted when a backend starts."""

import os
import subprocess
import sys

import numpy as np
import pytest
from support.example_runs import NOT_INSTALLED
from support.zoo import BACKEND

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(BACKEND == "torch", reason="Keras distributes on TensorFlow and JAX"),
]

TRAIN = """
import sys
import numpy as np, keras, keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

importance = sys.argv[3]

def train():
    keras.utils.set_random_seed(5)
    model = keras.Sequential([
        keras.Input((12,)),
        keras.layers.Dense(32, activation="relu", name="first"),
        keras.layers.LayerNormalization(),
        keras.layers.Dense(4, name="last"),
    ], name="net")
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
if devices == 2:
    keras.distribution.set_distribution(keras.distribution.DataParallel())
if devices == 4:  # two parts of a weight, on two devices each
    mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"), keras.distribution.list_devices())
    layout = keras.distribution.LayoutMap(mesh)
    layout["net/first/kernel"], layout["net/last/kernel"] = (None, "model"), ("model", None)
    keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"))
model = train()
finish(model)
if devices == 4:
    parts = jax.sharding.PartitionSpec(None, "model"), jax.sharding.PartitionSpec("model", None)
    for weight, part in zip(find_masked(model), parts, strict=True):
        variables = weight.weight, weight.mask, *([weight.movement] if importance == "movement" else [])
        assert [variable.value.sharding.spec for variable in variables] == [part] * len(variables)
    plain = kp.strip_pruning(model)
    assert [plain.get_layer(name).kernel.value.sharding.spec for name in ("first", "last")] == list(parts)
"""


def run(path, devices, importance):
    folders = [NOT_INSTALLED] * (BACKEND == "tensorflow") + [p for p in sys.path if p]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(folders),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    code = TRAIN + (TENSORFLOW if BACKEND == "tensorflow" else JAX)
    arguments = str(path), str(devices), importance
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)


def masks(path, devices, importance):
    done = run(path, devices, importance)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(path)


def check_same(tmp_path, devices, importance):
    one, several = (masks(tmp_path / f"{count}.npz", count, importance) for count in (1, devices))
    assert (one["devices"], several["devices"]) == (1, devices)
    np.testing.assert_array_equal(one["sparsity"], several["sparsity"])
    for index in range(2):
        np.testing.assert_array_equal(one[f"mask{index}"], several[f"mask{index}"])
        assert (~several[f"mask{index}"]).mean() == 0.75
        assert (several[f"weight{index}"][~several[f"mask{index}"]] == 0).all()
        np.testing.assert_allclose(one[f"weight{index}"], several[f"weight{index}"], rtol=1e-4, atol=1e-6)


# With "taylor" the masks are measured, on a copy, on a sample of what `fit` trains on.
@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
def test_two_devices_give_the_same_masks_as_one(importance, tmp_path):
    check_same(tmp_path, 2, importance)


@pytest.mark.skipif(BACKEND != "jax", reason="Keras splits weights on JAX")
def test_masks_are_split_over_devices_as_their_weights_are(tmp_path):
    check_same(tmp_path, 4, "movement")


@pytest.mark.skipif(BACKEND != "tensorflow", reason="on JAX, a step is one program for all devices")
def test_movement_that_each_device_sees_a_part_of_is_refused(tmp_path):
    done = run(tmp_path / "never.npz", 2, "movement")
    assert done.returncode == 1
    assert "Each device has a part of the movement of weights" in done.stderr
    assert "Received: 2 devices, MirroredStrategy" in done.stderr
