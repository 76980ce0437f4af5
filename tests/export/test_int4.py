"""`export(quantize="int4")`, through litert-quantizer."""

import importlib.util
import re

import keras
import numpy as np
import pytest

import keras_prune as kp
import tflite_export
from tflite_export.conversion.modes import QUANTIZERS

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
needs_package = pytest.mark.skipif(
    all(importlib.util.find_spec(name) is None for name in QUANTIZERS), reason="pip install litert-quantizer"
)
layers = keras.layers


def cnn():
    """Kernels of each kind, 70% of their weights zero."""
    model = keras.Sequential(
        [
            keras.Input((12, 12, 4)),
            layers.Conv2D(8, 3, groups=2, activation="relu", name="grouped"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Conv2DTranspose(6, 3, name="transposed"),
            layers.Conv2D(5, 1, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(7, name="dense"),  # 4 bits each: the last byte of 7 * 500 values is full, of 7 * 7 it is not
            layers.Dense(7, activation="softmax", name="head"),
        ]
    )
    return kp.strip_pruning(kp.prune_weights(model, 0.7))


def stored(path, shape):
    """The oracle: the values of a kernel as LiteRT's schema has them, two to a byte, the first in the low bits."""
    from support.tflite_files import unpack

    model = unpack(path.read_bytes())
    (tensor,) = [
        tensor for tensor in model.subgraphs[0].tensors if tensor.shape is not None and tuple(tensor.shape) == shape
    ]
    data = np.asarray(model.buffers[tensor.buffer].data, "uint8").astype("int64")
    values = np.stack([data & 15, data >> 4], axis=1).reshape(-1)[: np.prod(shape)].reshape(shape)
    return np.where(values > 7, values - 16, values), np.asarray(tensor.quantization.scale)


@needs_package
def test_zeros_and_values(tmp_path):
    model, path = cnn(), tmp_path / "model.tflite"
    x = np.random.default_rng(0).random((4, 12, 12, 4)).astype("float32")
    report = tflite_export.export(model, path, quantize="int4", inputs=x, batch_size=None)
    types = {tensor.shape: tensor.dtype for tensor in report.tensors}
    assert types[1, 3, 3, 8] == types[6, 3, 3, 8] == "int8"
    assert types[8, 3, 3, 2] == types[5, 1, 1, 6] == types[7, 7] == "int4"
    found = {tensor.shape: tensor for tensor in report.tensors}
    kernel = model.get_layer("head").kernel.numpy().T
    values, scales = stored(path, (7, 7))
    assert scales.shape == (7,)
    np.testing.assert_allclose(values * scales[:, None], kernel, atol=0.51 * np.abs(kernel).max() / 7)
    assert not values[kernel == 0].any()
    assert found[7, 7].zeros == np.sum(values == 0)
    assert found[7, 7].distinct == len(np.unique(values)) <= 15
    assert found[7, 7].bytes == 25
    np.testing.assert_allclose(tflite_export.predict(path, x), model.predict(x, verbose=0), atol=0.1)
    assert not any("float32" in line for line in report.warnings)


@needs_package
def test_shared_values_and_one_scale(tmp_path):
    shared = kp.strip_pruning(kp.cluster_weights(cnn(), clusters=8))
    report = tflite_export.export(shared, tmp_path / "shared.tflite", quantize="int4")
    assert {tensor.quantization for tensor in report.tensors} == {"per-tensor"}
    assert all(tensor.distinct <= 9 for tensor in report.tensors)
    assert not any("shared values" in line for line in report.warnings)


@needs_package
def test_what_stays_float_is_told(tmp_path):
    model = keras.Sequential(
        [keras.Input((4,), dtype="int32"), layers.Embedding(300, 8), layers.LSTM(6), layers.Dense(3)]
    )
    report = tflite_export.export(model, tmp_path / "model.tflite", quantize="int4")
    (line,) = [line for line in report.warnings if "float32" in line]
    assert re.match(r"these weights are float32 still, with quantize='int4': ", line)
    assert "the quantizer of int4 does not quantize their operators" in line
    assert sorted(tensor.dtype for tensor in report.tensors) == ["float32", "int4", "int4", "int4"]


def test_without_the_package(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in QUANTIZERS else find(name))
    with pytest.raises(ImportError, match=r"needs litert-quantizer: pip install litert-quantizer. Received"):
        tflite_export.export(cnn(), tmp_path / "model.tflite", quantize="int4")
    assert not list(tmp_path.iterdir())
