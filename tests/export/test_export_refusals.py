"""What `export` refuses: models, inputs, numbers and paths. Files that were there stay."""

import os

import keras
import numpy as np
import pytest

import tflite_export
from tflite_export import ExportError
from tflite_export.conversion import convert

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tflite_export converts with TensorFlow"
)
layers = keras.layers


def small_model(size=4):
    return keras.Sequential([keras.Input((size,)), layers.Dense(3, name="head")])


@pytest.fixture(scope="module", autouse=True)
def seed():
    keras.utils.set_random_seed(0)


def test_nan_in_weights(old_file):
    model = small_model()
    model.layers[-1].kernel.assign(np.full((4, 3), np.nan))
    with pytest.raises(ExportError, match=r"Keras model must be finite .*Received: 24 of 24 values of 'output_0'"):
        tflite_export.export(model, old_file, overwrite=True)


def test_operators_beyond_the_builtin_ones(old_file):
    class Determinant(layers.Layer):
        def call(self, x):
            return keras.ops.det(x)

    image = keras.Input((4, 4))
    model = keras.Model(image, Determinant()(image))
    with pytest.raises(ExportError, match=r"(?s)builtin operators cannot express MatrixDeterminant.*Received:\n  tf\."):
        tflite_export.export(model, old_file, overwrite=True)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 5)), r"must have shape \(samples, 4\). Received: shape \(2, 5\)"),
        (np.zeros(4), r"must have shape \(samples, 4\). Received: shape \(4,\)"),
        (np.zeros((0, 4)), "at least one sample. Received"),
        (np.full((2, 4), "a"), "must hold numbers for float32. Received: dtype <U1"),
        ({"other": np.zeros((2, 4))}, r"`inputs` must name \['x'\]. Received: \['other'\]"),
    ],
)
def test_wrong_inputs(old_file, inputs, message):
    model = keras.Sequential([keras.Input((4,), name="x"), layers.Dense(3)])
    with pytest.raises(ValueError, match=message):
        tflite_export.export(model, old_file, overwrite=True, inputs=inputs)


def test_inputs_of_different_lengths(old_file):
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    with pytest.raises(ValueError, match=r"same number of samples. Received: \[3, 4\]"):
        tflite_export.export(
            keras.Model([a, b], a + b), old_file, overwrite=True, inputs=[np.ones((3, 2)), np.ones((4, 2))]
        )


def test_integers_that_cannot_be_guessed(old_file):
    count = keras.Input((2,), dtype="int32", name="count")
    model = keras.Model(count, layers.Dense(1)(keras.ops.cast(count, "float32")))
    with pytest.raises(
        ValueError, match=r"pass real ones as `inputs`. Received: inputs=None for 'count' of dtype int32"
    ):
        tflite_export.export(model, old_file, overwrite=True)


def test_shapes_that_are_not_fixed(old_file):
    sequence = keras.Input((None, 3), name="sequence")
    model = keras.Model(sequence, layers.GlobalAveragePooling1D()(sequence))
    with pytest.raises(ValueError, match=r"fixed shapes.*Received: input 'sequence' of shape \(None, None, 3\)"):
        tflite_export.export(model, old_file, overwrite=True)


def test_models_that_cannot_be_exported(old_file):
    with pytest.raises(ValueError, match=r"must be built.*Received: the unbuilt model 'bare'"):
        tflite_export.export(keras.Sequential([layers.Dense(2)], name="bare"), old_file, overwrite=True)
    memory = keras.Sequential([keras.Input(batch_shape=(1, 5, 3)), layers.LSTM(4, stateful=True, name="m")])
    with pytest.raises(ValueError, match=r"state of a stateful layer. Received: \['m'\]"):
        tflite_export.export(memory, old_file, overwrite=True)
    with pytest.raises(ValueError, match=r"must be a keras.Model. Received: .* of type Dense"):
        tflite_export.export(layers.Dense(2), old_file, overwrite=True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing/model.tflite", "must be a file in a folder that exists. Received: .*missing"),
        ("model.bin", "must end in .tflite. Received: .*model.bin"),
        ("folder.tflite", "must be a file in a folder that exists. Received: .*folder.tflite"),
    ],
)
def test_wrong_paths(tmp_path, path, message):
    (tmp_path / "folder.tflite").mkdir()
    with pytest.raises(ValueError, match=message):
        tflite_export.export(small_model(), tmp_path / path)
    assert os.listdir(tmp_path) == ["folder.tflite"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"tolerance": -1},
        {"tolerance": float("nan")},
        {"tolerance": float("inf")},
        {"tolerance": True},
        {"samples": 0},
        {"samples": 2.5},
        {"samples": True},
    ],
)
def test_wrong_numbers(old_file, arguments):
    ((name, value),) = arguments.items()
    message = rf"`{name}` must be an? (?:number|integer) of at least .*Received: {name}={value}"
    with pytest.raises(ValueError, match=message):
        tflite_export.export(small_model(), old_file, overwrite=True, **arguments)


def test_a_file_is_not_replaced_unasked(old_file):
    with pytest.raises(ValueError, match=r"`path` must not exist, unless overwrite=True. Received: .*model.tflite"):
        tflite_export.export(small_model(), old_file)


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, scratch, monkeypatch):
    path = tmp_path / "model.tflite"
    in_order = convert.flatbuffer.in_order
    monkeypatch.setattr(convert.flatbuffer, "in_order", lambda *_: path.write_text("mine") and in_order(*_))
    with pytest.raises(ValueError, match=r"A file has appeared .*is kept.* Received: '.*model.tflite'"):
        tflite_export.export(small_model(), path)
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["model.tflite"]
    assert os.listdir(scratch) == []


def test_missing_packages(old_file, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ai_edge_litert" else find(name))
    with pytest.raises(ImportError, match=r"needs ai-edge-litert: pip install ai-edge-litert. Received"):
        tflite_export.export(small_model(), old_file, overwrite=True)
