"""What is said of files that were to be quantized and hold floating-point numbers."""

import json

import keras
import numpy as np
import pytest
from support.versions import needs_tensorflow

import tflite_export

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
layers = keras.layers


def exported(tmp_path, mode, shape, *stack):
    x = np.random.default_rng(0).standard_normal((16, *shape)).astype("float32")
    model = keras.Sequential([keras.Input(shape), *stack])
    data = {"representative_data": x} if mode in ("int8", "int16x8") else {}
    return tflite_export.export(model, tmp_path / "model.tflite", quantize=mode, inputs=x, sparse=False, **data)


NAMES = needs_tensorflow("2.21", "the constants of the last layer have no names")


@NAMES
@pytest.mark.parametrize(
    ("mode", "shape", "stack", "name", "reason"),
    [
        ("int8", (5, 5, 5, 4), lambda: [layers.Conv3D(4, 3, name="cube")], "cube", 'quantize="float16" halves'),
        ("int8", (3, 3, 3, 4), lambda: [layers.Conv3DTranspose(4, 2, name="cube")], "cube", "does not quantize"),
        ("dynamic", (5, 5, 5, 8), lambda: [layers.Conv3D(8, 3, name="cube")], "cube", "does not quantize"),
        ("dynamic", (24,), lambda: [layers.Dense(8, name="wide")], "wide", "fewer than 1,024 weights"),
    ],
)
def test_all_is_float_still(tmp_path, mode, shape, stack, name, reason):
    report = exported(tmp_path, mode, shape, *stack())
    assert list(report.weight_types) == ["float32"]
    assert f"float32 (asked for: {mode}), zeros stored" in str(report)
    (line,) = [line for line in report.warnings if "float32 still" in line]
    assert line.startswith(f"all weights are float32 still, with quantize={mode!r}: ")
    assert name in line
    assert reason in line
    operators = [line for line in report.warnings if line.startswith("computed in float32")]
    assert [name in line for line in operators] == ([True] if mode == "int8" else [])
    if name == "cube":
        with pytest.raises(ValueError, match=r"TensorFlow Lite Micro must have all .* with CONV_3D"):
            tflite_export.micro_resolver(report.path)


@NAMES
def test_some_is_float_still(tmp_path):
    report = exported(tmp_path, "dynamic", (40,), layers.Dense(40, name="wide"), layers.Dense(3, name="head"))
    assert report.weight_types == {"int8": 1600, "float32": 120}
    assert "1,600 in int8, 120 in float32" in str(report)
    assert json.loads(report.to_json())["weight_types"] == report.weight_types
    (line,) = [line for line in report.warnings if "float32" in line]
    assert "these weights are float32 still" in line
    assert "head" in line
    assert "wide" not in line
    with pytest.raises(ValueError, match=r"no floating-point FULLY_CONNECTED with int8 weights \(dynamic range\)"):
        tflite_export.micro_resolver(report.path)


def test_operators_of_an_int8_file_that_compute_in_float(tmp_path):
    report = exported(tmp_path, "int8", (4, 16), layers.LayerNormalization(name="norm"), layers.Dense(4))
    assert report.weight_types == {"int8": 64}
    (line,) = [line for line in report.warnings if line.startswith("computed in float32, with quantize='int8': 1 NEG")]
    assert "norm" in line


@pytest.mark.parametrize("mode", [None, "float16", "int8", "int16x8"])
def test_nothing_is_said_where_all_is_as_asked(tmp_path, mode):
    report = exported(tmp_path, mode, (6, 6, 2), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3))
    assert not any("float32" in line for line in report.warnings)
    assert len(report.weight_types) == 1
