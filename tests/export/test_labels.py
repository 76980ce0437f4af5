"""The labels of `export`: what is no class of the model is refused before anything is converted."""

import os

import keras
import numpy as np
import pytest

import tflite_export
from tflite_export import subprocesses
from tflite_export.verification.accuracy import checked_labels

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
y = np.arange(32) % 4


@pytest.fixture(scope="module")
def models():
    def model(units):
        return keras.Sequential([keras.Input((5,)), keras.layers.Dense(units)])

    return {units: model(units) for units in (1, 4)}


REFUSED = {
    "too large": (4, y + 1, r"classes of the model, from 0 to 3\. Received: 4 at 3, 8 such in all"),
    "negative": (4, y - 1, r"integers, from 0 on\. Received: -1\.?0? at 0, 8 such"),
    "fractions": (4, y + 0.5, r"integers, from 0 on\. Received: 0\.5 at 0, 32 such"),
    "NaN": (4, y * np.nan, r"integers, from 0 on\. Received: nan at 0"),
    "infinite": (4, np.where(y == 3, np.inf, y), r"integers, from 0 on\. Received: inf at 3"),
    "short": (4, y[:3], r"must have shape \(32,\), .*Received: shape \(3,\)"),
    "text": (4, "x", r"must have shape .*Received: shape \(\), dtype"),
    "names": (4, y.astype(str), r"must have shape .* and hold numbers\. Received: shape \(32,\), dtype <U"),
    "objects": (4, [None] * 32, r"must have shape .* and hold numbers\. Received: shape \(32,\), dtype object"),
    "no columns": (4, np.zeros((32, 0)), r"must have shape .*Received: shape \(32, 0\)"),
    "no row of one": (4, np.zeros((32, 4)), r"must be one-hot: one 1, else 0\. Received: .* 32 such in all"),
    "soft": (4, np.full((32, 4), 0.25), r"must be one-hot"),
    "row with NaN": (4, np.where(np.eye(4)[y] == 1, np.nan, 0), r"must be one-hot"),
    "other width": (4, np.eye(6)[y], r"as many columns as the model has classes, 4\. Received: 6 columns"),
    "of two": (1, y, r"classes of the model, from 0 to 1\. Received: 2 at 2, 16 such in all"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_are_no_classes(name, models, old_file, monkeypatch):
    monkeypatch.setattr(subprocesses, "run", lambda *words, **named: pytest.fail("the conversion has begun"))
    units, labels, message = REFUSED[name]
    x = np.zeros((32, 5), "float32")
    with pytest.raises(ValueError, match=message):
        tflite_export.export(models[units], old_file, inputs=x, labels=labels, overwrite=True)


@pytest.mark.parametrize("labels", [y, y[:, None], y.astype("float32"), y.astype("uint8"), y.tolist(), np.eye(4)[y]])
def test_labels_that_are_classes(labels):
    np.testing.assert_array_equal(checked_labels(labels, 32).classes, y)


def test_the_accuracy_is_right(models, tmp_path):
    x = np.random.default_rng(0).normal(size=(32, 5)).astype("float32")
    labels = models[4].predict(x, verbose=0).argmax(-1)
    labels[:8] = (labels[:8] + 1) % 4
    report = tflite_export.export(models[4], tmp_path / "model.tflite", inputs=x, labels=labels.astype("float64"))
    assert (report.accuracy, report.keras_accuracy) == (0.75, 0.75)
    assert os.listdir(tmp_path) == ["model.tflite"]
