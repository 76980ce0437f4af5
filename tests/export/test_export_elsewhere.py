"""`export` on the backends that cannot convert."""

import keras
import numpy as np
import pytest

import keras_prune as kp
import tflite_export

pytest.importorskip("tensorflow", reason="the subprocess converts with TensorFlow")
pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="converts itself: tests/export/test_export.py"),
]
layers = keras.layers


def test_a_pruned_model_of_another_backend(tmp_path):
    x = keras.Input((None, 6), name="x")
    y = layers.Dense(8, activation="relu")(layers.GlobalAveragePooling1D()(x))
    pruned = kp.prune_weights(keras.Model(x, layers.Dense(3)(y)), 0.5)
    x = np.random.default_rng(0).normal(size=(20, 5, 6)).astype("float32")
    labels = pruned.predict(x, verbose=0).argmax(-1)
    options = {"signature": keras.InputSpec(shape=(None, 5, 6)), "batch_size": None}
    report = tflite_export.export(pruned, tmp_path / "model.tflite", inputs=x, labels=labels, **options)
    assert report.path == tmp_path / "model.tflite"
    assert report.accuracy == 1.0
    assert report.batch_size is None
    assert sum(tensor.zeros for tensor in report.tensors) == 36
    # The oracle is this backend, not TensorFlow, with which the subprocess compared.
    np.testing.assert_allclose(tflite_export.predict(report.path, x), pruned.predict(x, verbose=0), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def test_errors_of_the_subprocess_are_errors_here(tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"must have shape \(samples, 6\). Received: shape \(2, 5\)"):
        tflite_export.export(model, tmp_path / "model.tflite", inputs=np.ones((2, 5)))

    class Own(layers.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((6,)), Own()])
    with pytest.raises(tflite_export.ExportError, match=r"cannot be loaded .* that imports its classes. Received"):
        tflite_export.export(model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())
