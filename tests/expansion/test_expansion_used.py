"""What is done with any model: each public function on a subclassed one, names, files, masks, exports."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers
from support import any_models

import keras_prune as kp
import tflite_export

IMAGES = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
LABELS = np.arange(8) % 3


@pytest.fixture
def model():
    model = any_models.make("vision transformer")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


@pytest.mark.core
def test_channels_of_a_subclassed_model_are_removed_by_names_of_layers_around(model):
    groups = {group.name for group in kp.analyze_channels(model).groups}
    assert any(name.startswith("block_0__ffn__") for name in groups)
    result = kp.prune_channels(model, ratios={"block_0/ffn/*": 0.5})
    sizes = {layer.name: layer.units for layer in result.model.layers if isinstance(layer, layers.Dense)}
    assert sizes["block_0__ffn__dense"] == 8
    assert sizes["block_1__ffn__dense_2"] == 16
    assert result.model.count_params() < model.count_params()
    assert "(VisionTransformer) was written out as a graph" in str(result)
    assert result.model(IMAGES).shape == (8, 3)


@pytest.mark.core
def test_what_was_removed_is_what_zeros_in_its_place_compute(model):
    made = kp.expand(model)
    small = kp.prune_channels(model, ratios={"block_0/ffn/dense": 0.5})
    (removed,) = filter(None, small.plan.removed.values())
    narrow = made.get_layer("block_0__ffn__dense_1")
    kernel = np.array(keras.ops.convert_to_numpy(narrow.kernel))
    kernel[list(removed)] = 0
    narrow.kernel.assign(kernel)
    any_models.assert_same(made, small.model, IMAGES)


@pytest.mark.core
def test_a_tied_table_stays_tied_when_channels_are_removed():
    model = any_models.make("language model")
    made = kp.expand(model, example=np.zeros((1, 6), "int32"))
    table = made.get_layer("embedding__embedding").embeddings
    assert sum(variable is table for variable in made.variables) == 1
    small = kp.prune_channels(made, 0.5).model
    shapes = [tuple(variable.shape) for variable in small.variables]
    assert sum(11 in shape for shape in shapes) == 1
    assert small.count_params() < 0.7 * made.count_params()


@pytest.mark.core
def test_masks_hold_in_training_and_are_removed_again(model):
    made = kp.wrap_pruning(kp.expand(model))
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callback = kp.PruningSchedule(kp.ConstantSparsity(0.5, begin_step=1), frequency=1)
    made.fit(IMAGES, LABELS, epochs=2, batch_size=8, verbose=0, callbacks=[callback])
    plain = kp.strip_pruning(made)
    kernel = keras.ops.convert_to_numpy(plain.get_layer("block_0__ffn__dense").kernel)
    assert np.mean(kernel == 0) == 0.5


LOAD = """
import sys
import keras, keras_prune
import numpy as np
model = keras.models.load_model(sys.argv[1])
np.save(sys.argv[2], np.asarray(keras.ops.convert_to_numpy(model(np.load(sys.argv[3])))))
"""


@pytest.mark.core
def test_a_file_of_it_needs_no_classes_of_the_users(model, tmp_path):
    made = kp.expand(model)
    made.save(tmp_path / "made.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    files = [str(tmp_path / name) for name in ("made.keras", "out.npy", "images.npy")]
    subprocess.run([sys.executable, "-c", LOAD, *files], check=True, cwd=tmp_path)
    (expected,) = any_models.outputs(made, IMAGES)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
def test_it_is_exported(model, tmp_path):
    small = kp.prune_channels(model, 0.5).model
    report = tflite_export.export(small, tmp_path / "small.tflite", inputs=IMAGES)
    assert report.agrees if hasattr(report, "agrees") else report
    assert (tmp_path / "small.tflite").stat().st_size


def cost(model):
    assert kp.cost(model).macs > kp.cost(kp.prune_channels(model, 0.5).model).macs > 0


def whole_layers(model):
    assert kp.analyze_layers(model).candidates
    assert kp.prune_layers(model, ratio=0.3).model.count_params() < model.count_params()


def explain(model):
    assert "block_0__ffn__dense" in str(kp.explain(model, kp.prune_channels(model, 0.5)))


def iterative(model):
    counts = [small.count_params() for small in kp.IterativePruning(model, steps=2, ratio=0.5)]
    assert model.count_params() > counts[0] > counts[1]


def sensitivity(model):
    curves = kp.sensitivity(model, (IMAGES, LABELS), kind="channels", ratios=(0.5,), verbose=0)
    assert "block_0__ffn__" in str(curves.records())


@pytest.mark.parametrize("use", [cost, whole_layers, explain, iterative, sensitivity])
def test_the_other_functions_take_a_subclassed_model(model, use):
    use(model)
