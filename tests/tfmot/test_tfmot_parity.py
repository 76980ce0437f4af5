"""The same schedules, masks and predictions as tfmot, which runs in an environment of its own (`make parity`)."""

import json
import os
import pathlib
import subprocess

import keras
import numpy as np
import pytest
import support.tfmot_behaviours
import support.tfmot_behaviours_policies
import support.tfmot_behaviours_training  # noqa: F401
from keras import layers
from support.tfmot_sides import BEHAVIOURS
from support.zoo import BACKEND

import keras_prune as kp
import keras_prune.tfmot as sparsity
from keras_prune.masking.masked_weights import find_masked

ROOT = pathlib.Path(__file__).parents[2]
PYTHON = os.environ.get("TFMOT_PYTHON") or str(ROOT / ".venv-tfmot" / "bin" / "python")

pytestmark = [
    pytest.mark.skipif(not pathlib.Path(PYTHON).exists(), reason="needs tfmot: make parity"),
    pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough"),
    pytest.mark.timeout(1800),  # tfmot itself needs minutes
]

TARGETS = [0.1, 0.5, 0.77, 0.9]
DECAYS = [[0.0, 0.8, 0, 100, 3, 100], [0.2, 0.9, 10, 87, 2, 7], [0.5, 0.5, 3, 50, 1, 10], [0.6, 0.3, 0, 64, 4, 3]]
STEPS = np.array([0, 1, 9, 10, 24, 50, 64, 86, 87, 90, 100, 101, 500])


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    return {
        "dense": rng.normal(size=(24, 20)).astype("float32"),
        "conv": rng.normal(size=(3, 3, 8, 5)).astype("float32"),
        "x_dense": rng.normal(size=(4, 24)).astype("float32"),
        "x_conv": rng.normal(size=(4, 6, 6, 8)).astype("float32"),
        "targets": np.array(TARGETS),
        "decays": np.array(DECAYS),
        "steps": STEPS,
    }


@pytest.fixture(scope="module")
def peer(inputs, tmp_path_factory):
    """The folder in which tfmot left what it found."""
    folder = tmp_path_factory.mktemp("tfmot")
    np.savez(folder / "inputs.npz", **inputs)
    # Without the paths and settings of this process, which has another Keras.
    kept = {key: value for key, value in os.environ.items() if key not in ("KERAS_BACKEND", "PYTHONPATH")}
    command = [PYTHON, str(ROOT / "tests" / "support" / "tfmot_peer.py"), str(folder / "inputs.npz"), str(folder)]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def found(peer):
    with np.load(peer / "found.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def of_tfmot(peer):
    return json.loads((peer / "behaviours.json").read_text())


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_tfmot_does_what_is_expected_of_it(of_tfmot, name):
    if "TensorBoard is not installed" in str(of_tfmot[name]):
        pytest.skip("no TensorBoard beside tfmot")
    assert of_tfmot[name] == BEHAVIOURS[name].tfmot


@pytest.mark.parametrize("index", range(len(DECAYS)))
def test_decays_have_the_same_values(found, index):
    initial, final, begin, end, power, frequency = DECAYS[index]
    schedule = sparsity.PolynomialDecay(initial, final, begin, end, power, frequency)
    np.testing.assert_allclose([schedule(step) for step in STEPS], found[f"decay{index}"], atol=1e-6)


def test_constants_have_the_same_values(found):
    schedule = sparsity.ConstantSparsity(0.4, 10, 90, 20)
    np.testing.assert_allclose([schedule(step) for step in STEPS], found["constant"], atol=1e-6)


def our_mask(layer, weights, x, schedule, **settings):
    wrapped = sparsity.prune_low_magnitude(layer, schedule, **settings)
    model = keras.Sequential([keras.Input(x.shape[1:]), wrapped])
    wrapped.layer.set_weights([weights, np.zeros(weights.shape[-1])])
    model.compile(keras.optimizers.SGD(0.0), keras.losses.MeanSquaredError())
    y = np.zeros((len(x), *model.output_shape[1:]))
    model.fit(x, y, epochs=2, batch_size=len(x), verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    (weight,) = find_masked(model)
    return weight.kept()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_masks_are_the_same(inputs, found, kind, target):
    layer = layers.Dense(20) if kind == "dense" else layers.Conv2D(5, 3)
    schedule = sparsity.ConstantSparsity(target, 0, frequency=1)
    kept = our_mask(layer, inputs[kind], inputs[f"x_{kind}"], schedule)
    assert 0 < kept.mean() < 1
    np.testing.assert_array_equal(kept, found[f"{kind}{target}"] != 0)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("avg", {"block_size": (2, 4)}),
        ("max", {"block_size": (4, 1), "block_pooling_type": "MAX"}),
        ("m_by_n", {"sparsity_m_by_n": (2, 4)}),
        ("conv_m_by_n", {"sparsity_m_by_n": (2, 4)}),
    ],
)
def test_masks_of_blocks_and_patterns_are_the_same(inputs, found, name, settings):
    kind = "conv" if name.startswith("conv") else "dense"
    layer = layers.Dense(20) if kind == "dense" else layers.Conv2D(5, 3)
    schedule = sparsity.ConstantSparsity(0.5, 0, frequency=1)
    kept = our_mask(layer, inputs[kind], inputs[f"x_{kind}"], schedule, **settings)
    assert kept.mean() == 0.5
    np.testing.assert_array_equal(kept, found[name] != 0)


@pytest.mark.parametrize("name", ["mixed", "recurrent", "pruned"])
def test_files_of_keras_2_predict_the_same(peer, name):
    model = kp.load_legacy(peer / f"{name}.h5")
    with np.load(peer / f"{name}.npz") as file:
        x, y = file["x"], file["y"]
    assert np.ptp(y) > 1e-3
    np.testing.assert_allclose(model.predict(x, verbose=0), y, atol=1e-5)
    if name == "pruned":
        weights = find_masked(model)
        assert [weight.name for weight in weights] == ["kernel"] * 3
        for weight in weights:
            assert np.mean(weight.kept()) == pytest.approx(0.3, abs=0.02)
        assert model.get_layer("conv").pruning_schedule.final_sparsity == 0.7
        plain = kp.strip_pruning(model)
        np.testing.assert_allclose(plain.predict(x, verbose=0), y, atol=1e-5)
