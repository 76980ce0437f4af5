"""`register_preparation`: what other packages do to a model before it is exported."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_prune as kp
import tflite_export
from tflite_export import preparation

layers = keras.layers


def model_of(units=2):
    return keras.Sequential([keras.Input((3,)), layers.Dense(units, name="dense")])


@pytest.fixture
def no_steps(monkeypatch):
    """As if no package had registered any."""
    monkeypatch.setattr(preparation, "_STEPS", [])


@pytest.fixture
def calls(no_steps):
    return []


def step_of(calls, name):
    def step(model):
        calls.append((name, model.count_params()))
        return model_of(model.layers[-1].units + 1)

    return step


def test_steps_run_in_the_order_in_which_they_were_registered(calls):
    for name in ("first", "second", "third"):
        tflite_export.register_preparation(step_of(calls, name))
    model = model_of()
    prepared = preparation.prepare(model)
    assert calls == [("first", 8), ("second", 12), ("third", 16)]  # each gets what the one before returned
    assert prepared.count_params() == 20
    assert model.count_params() == 8


def test_a_step_that_is_registered_twice_runs_once(calls):
    first, second = step_of(calls, "first"), step_of(calls, "second")
    for step in (first, second, first):
        assert tflite_export.register_preparation(step) is step
    preparation.prepare(model_of())
    assert [name for name, _ in calls] == ["first", "second"]


def test_without_steps_the_model_is_the_same(no_steps):
    model = model_of()
    assert preparation.prepare(model) is model


@pytest.mark.parametrize("step", [None, "strip", 3, layers])
def test_what_is_no_function_is_refused(no_steps, step):
    with pytest.raises(TypeError, match=r"`step` must be a function `model -> model`. Received: step="):
        tflite_export.register_preparation(step)
    assert preparation._STEPS == []


@pytest.mark.parametrize("result", [None, layers.Dense(2)])
def test_a_step_must_return_a_model(no_steps, result):
    def broken(model):
        return result

    tflite_export.register_preparation(broken)
    with pytest.raises(TypeError, match=r"must return a keras.Model. Received: .*broken.* returned"):
        preparation.prepare(model_of())


def test_keras_prune_strips_the_masks_of_graphs(monkeypatch):
    monkeypatch.setattr(preparation, "_STEPS", list(preparation._STEPS))
    assert len(preparation._STEPS) == 1  # importing the package registered one, once
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    masked = kp.prune_weights(model_of(8), 0.5)
    before = masked.predict(x, verbose=0)
    names = [type(layer).__name__ for layer in masked.layers]
    plain = preparation.prepare(masked)
    assert type(plain) is keras.Sequential
    assert [type(layer) for layer in plain.layers] == [layers.Dense]
    assert np.sum(keras.ops.convert_to_numpy(plain.layers[0].kernel) == 0) == 12
    np.testing.assert_allclose(plain.predict(x, verbose=0), before, atol=1e-6)
    assert [type(layer).__name__ for layer in masked.layers] == names  # the user's own keeps its masks
    assert kp.summary(masked).prunable_sparsity == 0.5


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(8)

    def call(self, x):
        return self.dense(x)


def test_keras_prune_leaves_subclassed_models_as_they_are():
    model = Subclassed()
    model(keras.ops.zeros((1, 3)))
    masked = kp.prune_weights(model, 0.5)
    assert preparation.prepare(masked) is masked
    kernel = keras.ops.convert_to_numpy(masked.dense.kernel)
    assert np.sum(kernel == 0) == 12


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
def test_tflite_export_alone_exports_a_plain_model(tmp_path):
    """In a subprocess that never imports keras_prune."""
    code = """
import sys
import keras
import numpy as np
import tflite_export
from tflite_export import preparation

assert preparation._STEPS == []
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
report = tflite_export.export(model, sys.argv[1], sparse=False)
x = np.ones((4, 3), "float32")
np.testing.assert_allclose(tflite_export.predict(report.path, x), model.predict(x, verbose=0), atol=1e-5)
assert tflite_export.check_sparse_speed(model).kernels[0].layer == model.layers[0].name
print([name for name in sys.modules if name.partition(".")[0] == "keras_prune"])
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    line = [sys.executable, "-c", code, str(tmp_path / "model.tflite")]
    done = subprocess.run(line, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
