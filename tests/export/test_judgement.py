"""Files that passed with any outputs: the error against the spread of Keras's, classes, and measured ranges."""

import json

import keras
import numpy as np
import pytest

import tflite_export
from tflite_export.verification.judgement import (
    check_varies,
    error_of_spread,
    same_classes,
    warn_of_outputs,
    warn_of_ranges,
)

X = np.random.default_rng(0).uniform(0, 1, (64, 8)).astype("float32")


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((8,), name="x"), layers.Dense(16, activation="relu"), layers.Dense(3, activation="softmax")]
    )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
@pytest.mark.parametrize(
    ("data", "warned"),
    [
        (X, ()),
        (X * 255, ("use a small part of the measured range", "of the spread of Keras's", "samples get the class")),
        (X[:1], ("is a single sample", "beyond the measured range", "of the spread of Keras's")),
        (X[:, :] * 0.1, ("beyond the measured range", "of the spread of Keras's")),
    ],
)
def test_what_is_said_of_ranges(model, tmp_path, data, warned):
    report = tflite_export.export(
        model,
        tmp_path / "model.tflite",
        quantize="int8",
        representative_data=data,
        inputs=X,
        samples=64,
    )
    for words in warned:
        assert any(words in line for line in report.warnings), (words, report.warnings)
    expected = model.predict(X, verbose=0)
    found = tflite_export.predict(report.path, X)
    spread = np.sqrt(np.mean((expected - expected.mean(axis=0)) ** 2))
    assert report.error == pytest.approx(np.sqrt(np.mean((found - expected) ** 2)) / spread, abs=0.05)
    assert report.agreement == pytest.approx((found.argmax(-1) == expected.argmax(-1)).mean(), abs=0.1)
    assert json.loads(report.to_json())["error"] == pytest.approx(report.error)
    assert "of the spread of Keras's outputs" in str(report)
    if not warned:
        assert report.warnings == ()
        assert report.error < 0.1


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
@pytest.mark.parametrize("data", [X[:4] * 0, np.tile(X[:1] * 0 - 5, (4, 1))])
def test_a_file_that_ignores_its_input_is_refused(model, tmp_path, data):
    options = {"quantize": "int8", "representative_data": data, "inputs": X}
    with pytest.raises(tflite_export.ExportError, match=r"must depend on the input.*Received: the same output for 8"):
        tflite_export.export(model, tmp_path / "model.tflite", **options)
    assert not list(tmp_path.iterdir())


def test_errors_by_hand():
    reference = np.array([[0.0, 10.0], [2.0, 10.0]])  # each column varies on its own
    assert error_of_spread(reference, reference) == 0
    assert error_of_spread(np.array([[1.0, 10.0]] * 2), reference) == pytest.approx(1)
    assert error_of_spread(reference, np.ones((2, 2))) is None
    assert error_of_spread(reference[:1], reference[:1]) is None
    assert error_of_spread(np.array([1, 2]), np.array([1, 2])) is None  # classes are no sizes
    check_varies(reference, reference, "y")
    check_varies(np.ones((2, 2)), np.array([[1.0, 1.0], [1.001, 1.0]]), "y")  # less than a step of eight bits
    with pytest.raises(tflite_export.ExportError, match="must depend on the input"):
        check_varies(np.ones((2, 2)), reference, "y")


def test_classes_by_hand():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert same_classes(scores[::-1], scores) == 0
    assert same_classes(scores, scores) == 1
    for other in (scores * 2, scores - 1, scores[0], scores[:, :1], np.array([[1, 0]])):
        assert same_classes(other, other) is None


def test_lines():
    assert warn_of_outputs(0.1, 1.0, 8) == warn_of_outputs(None, None, 8) == []
    assert warn_of_outputs(0.9, None, 8)[0].startswith("the error is 90% of the spread")
    assert warn_of_outputs(None, 0.5, 8) == ["only 50% of 8 samples get the class that Keras gives them"]
    assert warn_of_outputs(0.11, 0.98, 96) == []  # files that lost no accuracy, as measured
    assert len(warn_of_outputs(0.18, 0.97, 256)) == 1  # one that lost two points
    assert len(warn_of_outputs(0.26, 0.93, 96)) == 2  # and one that lost seven
    a, b = X[:, :4], X[:, 4:]
    assert warn_of_ranges(["a", "b"], [a, b], [a, b]) == warn_of_ranges(["a", "b"], [a, b], None) == []
    (line,) = warn_of_ranges(["a", "b"], [a, b], [a, b * 3])
    assert line.startswith("values beyond the measured range are cut off: the input 'b': from ")
    assert warn_of_ranges(["a"], [a[:1]], None)[0].startswith("`representative_data` is a single sample")
    assert warn_of_ranges(["a"], [np.ones((9, 2))], None)[0].startswith("`representative_data` are equal samples")
    ids = np.arange(6).reshape(3, 2)
    assert warn_of_ranges(["ids"], [ids], [ids * 100]) == []  # integers have no range that is measured
