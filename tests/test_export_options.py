"""`export` with batches other than one, without the check, with a signature, and with operators beyond LiteRT's own."""

import keras
import numpy as np
import pytest

import tflite_export
from tflite_export import arrays
from tflite_export.reference import sizes_to_compare

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 8, 8, 3)).astype("float32")


def cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )


def litert(path, x):
    """The oracle: LiteRT itself, its inputs resized by hand where they do not fit."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    (read,) = interpreter.get_input_details()
    if tuple(read["shape"]) != x.shape:
        interpreter.resize_tensor_input(read["index"], x.shape, strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(read["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_a_free_batch(tmp_path):
    model, path = cnn(), tmp_path / "model.tflite"
    labels = model.predict(X, verbose=0).argmax(-1)
    report = tflite_export.export(model, path, batch_size=None, inputs=X, labels=labels)
    assert report.batch_size is None
    assert report.accuracy == report.keras_accuracy == 1
    assert "batch" in str(report)
    assert tflite_export.inspect(path).inputs[0].shape == (-1, 8, 8, 3)
    expected = model.predict(X, verbose=0)
    for size in (1, 3, 10):
        np.testing.assert_allclose(litert(path, X[:size]), expected[:size], atol=1e-5)
    many = np.concatenate([X] * 4)  # more than go into one call
    np.testing.assert_allclose(tflite_export.predict(path, many), np.concatenate([expected] * 4), atol=1e-5)
    assert tflite_export.compare(model, path, X).max < 1e-5
    assert len(tflite_export.benchmark(path, runs=5, inputs=X).timings) == 1


def test_a_fixed_batch_in_int8(tmp_path):
    model, path = cnn(), tmp_path / "model.tflite"
    data = {"quantize": "int8", "representative_data": X}  # ten: the last batch is not full
    report = tflite_export.export(model, path, batch_size=4, inputs=X, samples=5, **data)
    assert report.batch_size == 4
    assert report.samples == 8  # whole batches
    assert "4 samples a call" in str(report)
    expected = model.predict(X, verbose=0)
    np.testing.assert_allclose(litert(path, X[:4]), expected[:4], atol=0.03)
    outputs = tflite_export.predict(path, X)
    np.testing.assert_array_equal(outputs[:4], litert(path, X[:4]))
    np.testing.assert_array_equal(outputs[8:], litert(path, X[[8, 9, 9, 9]])[:2])
    assert tflite_export.compare(model, path, X).samples == 10
    assert len(tflite_export.benchmark(path, runs=5, inputs=X[:2]).timings) == 1
    assert tflite_export.check_micro(path, X[:6]).samples in (0, 6)  # 0 without the package tflite-micro


def test_recurrent_layers_need_a_fixed_batch(tmp_path):
    model = keras.Sequential([keras.Input((4, 3)), layers.GRU(5, name="memory"), layers.Dense(2)])
    with pytest.raises(tflite_export.ExportError, match=r"batch of fixed size. Build memory with unroll=True"):
        tflite_export.export(model, tmp_path / "free.tflite", batch_size=None)
    assert not list(tmp_path.iterdir())
    x = RNG.normal(size=(5, 4, 3)).astype("float32")
    tflite_export.export(model, tmp_path / "three.tflite", batch_size=3, inputs=x)
    outputs = tflite_export.predict(tmp_path / "three.tflite", x)
    np.testing.assert_allclose(outputs, model.predict(x, verbose=0), atol=1e-5)


def test_a_model_that_mixes_its_batch(tmp_path):
    """What stands beside a sample matters, and one output has no batch axis: Keras gets the same batches."""
    x = keras.Input(batch_shape=(2, 3))
    model = keras.Model(x, [x - keras.ops.mean(x, axis=0, keepdims=True), keras.ops.max(x, axis=0)])
    with pytest.raises(ValueError, match=r"built for batches of 2: pass batch_size=2. Received: batch_size=1"):
        tflite_export.export(model, tmp_path / "model.tflite")
    data = RNG.normal(size=(4, 3)).astype("float32")
    report = tflite_export.export(model, tmp_path / "model.tflite", batch_size=2, inputs=data)
    assert report.samples == 4
    centred, largest = tflite_export.predict(report.path, data)
    pairs = data.reshape(2, 2, 3)
    np.testing.assert_allclose(centred, (pairs - pairs.mean(1, keepdims=True)).reshape(4, 3), atol=1e-6)
    np.testing.assert_allclose(largest, pairs.max(1))


def test_calls_are_cut_and_joined():
    values = [np.arange(5), np.arange(10).reshape(5, 2)]
    assert arrays.call_sizes(5, 2) == [2, 2, 1]
    calls = arrays.parts(values, [2, 2, 1], 2)
    assert [call[0].tolist() for call in calls] == [[0, 1], [2, 3], [4, 4]]
    assert calls[2][1].tolist() == [[8, 9], [8, 9]]
    joined = arrays.join([[call[0], call[1].sum()] for call in calls], [2, 2, 1], 2)
    assert joined[0].tolist() == [0, 1, 2, 3, 4]
    assert joined[1].tolist() == [6, 22, 34]
    assert [call[0].tolist() for call in arrays.parts(values, [1, 3], None)] == [[0], [1, 2, 3]]
    with pytest.raises(ValueError, match=r"the same shape for all batches. Received: shapes \[\(2,\), \(6,\)\]"):
        arrays.join([[np.zeros(2)], [np.zeros(6)]], [1, 3], None)
    for samples in range(1, 9):
        assert sum(sizes_to_compare(samples, None)) == samples
    assert sizes_to_compare(8, None) == [1, 3, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, r"`batch_size` must be an integer, 1 or more, or None. Received: 0"),
        ({"batch_size": True}, r"`batch_size` must be .* Received: True"),
    ],
)
def test_bad_options_write_nothing(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        tflite_export.export(cnn(), tmp_path / "model.tflite", **options)
    assert not list(tmp_path.iterdir())
