"""`export` with batches other than one, without the check, with a signature, and with operators beyond LiteRT's own."""

import json

import keras
import numpy as np
import pytest

import tflite_export
from tflite_export import arrays, subprocesses
from tflite_export.reader import flatbuffer
from tflite_export.verification import checks
from tflite_export.verification.reference import sizes_to_compare

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


def resizing(interpolation):
    return keras.Sequential([keras.Input((4, 4, 2)), layers.Resizing(8, 8, interpolation=interpolation)])


def test_operators_of_tensorflow(tmp_path):
    model, path = resizing("bicubic"), tmp_path / "model.tflite"
    with pytest.raises(tflite_export.ExportError, match=r'cannot express ResizeBicubic. Or pass allow=\("flex",\)'):
        tflite_export.export(model, path)
    with pytest.raises(tflite_export.ExportError, match=r"pass verify=False.* Received: FlexResizeBicubic$"):
        tflite_export.export(model, path, allow=("flex",))
    assert not list(tmp_path.iterdir())
    report = tflite_export.export(model, path, allow=("flex",), verify=False)
    assert report.operators == {"CUSTOM FlexResizeBicubic": 1}
    assert tflite_export.inspect(path).flex_operators == ("FlexResizeBicubic",)
    with pytest.raises(ValueError, match=r"LiteRT must be able to run the file"):
        tflite_export.predict(path, np.zeros((1, 4, 4, 2)))


def test_custom_operators(tmp_path):
    path = tmp_path / "model.tflite"
    report = tflite_export.export(resizing("lanczos5"), path, allow=("custom",), verify=False)
    assert report.operators == {"CUSTOM ScaleAndTranslate": 1}
    assert tflite_export.inspect(path).custom_operators == ("ScaleAndTranslate",)


def test_operators_are_refused_by_name():
    found = {"CONV_2D": 1, "CUSTOM FlexErf": 2, "CUSTOM mine": 1}
    with pytest.raises(tflite_export.ExportError, match=r"Received: FlexErf with allow=\('custom',\)"):
        checks.check_operators(found, ("custom",), False)
    with pytest.raises(tflite_export.ExportError, match=r"Received: FlexErf, mine with allow=\(\)"):
        checks.check_operators(found, (), True)
    checks.check_operators(found, ("flex", "custom"), False)
    checks.check_operators({"CONV_2D": 1}, (), True)


def test_a_file_that_is_not_verified_says_so(tmp_path, monkeypatch):
    model, path = cnn(), tmp_path / "model.tflite"
    model.layers[0].kernel.assign(
        np.where(np.arange(108).reshape(3, 3, 3, 4) % 10, 0, 1)
    )  # sparse="auto" would try both
    lines = []
    run = subprocesses.run
    monkeypatch.setattr(subprocesses, "run", lambda *line, **named: (lines.append(line[0]), run(*line, **named)))
    report = tflite_export.export(model, path, verify=False, tolerance=0.0)
    assert lines == ["tflite_export.workers.convert"]  # converted once, never run
    assert not report.verified
    assert (report.samples, report.timings, report.sparse) == (0, (), False)
    for name in ("max_difference", "mean_difference", "tolerance", "memory", "latency_ms", "accuracy"):
        assert getattr(report, name) is None
    assert report.warnings == (
        "not verified: the file was neither run in LiteRT nor compared with Keras (verify=False)",
    )
    assert "not verified" in str(report)
    assert "not verified" in report.to_html()
    assert json.loads(report.to_json())["max_difference"] is None
    assert report.bytes == path.stat().st_size
    np.testing.assert_allclose(tflite_export.predict(path, X), model.predict(X, verbose=0), atol=1e-5)

    monkeypatch.setattr(flatbuffer, "zeros", lambda content: 0)  # still checked
    with pytest.raises(tflite_export.ExportError, match=r"zeros of the model's kernels. Received: 0 zeros"):
        tflite_export.export(model, tmp_path / "other.tflite", verify=False)


def test_a_signature_fixes_sizes_that_the_model_leaves_open(tmp_path):
    sequence, ids = keras.Input((None, 3), name="sequence"), keras.Input((None,), name="ids")
    x = layers.Concatenate(axis=1)([sequence, layers.Embedding(7, 3)(ids)])
    model = keras.Model([sequence, ids], layers.GlobalAveragePooling1D()(layers.Conv1D(4, 3)(x)))
    signature = [keras.InputSpec(shape=(None, 6, 3)), keras.KerasTensor((None, 4), "int32")]
    with pytest.raises(ValueError, match=r"Pass `signature`, or .* input 'sequence' of shape \(None, None, 3\)"):
        tflite_export.export(model, tmp_path / "model.tflite")
    report = tflite_export.export(model, tmp_path / "model.tflite", signature=signature)
    assert report.inputs == ("sequence", "ids")  # the model's own names
    ports = tflite_export.inspect(report.path).inputs
    assert [(port.shape, port.dtype) for port in ports] == [((1, 6, 3), "float32"), ((1, 4), "int32")]
    data = {"sequence": RNG.normal(size=(3, 6, 3)), "ids": RNG.integers(0, 7, (3, 4))}
    np.testing.assert_allclose(tflite_export.predict(report.path, data), model.predict(data, verbose=0), atol=1e-5)

    for wrong, message in (
        (signature[:1], r"`signature` must be nested as the model's inputs are"),
        ([signature[1], signature[0]], r"`signature` must fit the input 'sequence' of shape \(None, None, 3\)"),
        ([keras.InputSpec(shape=(None, 6, 4)), signature[1]], r"must fit .* Received: shape \(None, 6, 4\)"),
        ([keras.InputSpec(shape=(None, None, 3)), signature[1]], r"must give each axis a size.*\(None, None, 3\)"),
        ([keras.InputSpec(shape=(5, 6, 3)), signature[1]], r"which is None or `batch_size`.*batch_size=1"),
        ([keras.InputSpec(ndim=3), signature[1]], r"must hold keras.InputSpec or keras.KerasTensor"),
        ("float32", r"must hold keras.InputSpec or keras.KerasTensor.* Received: 'float32'"),
    ):
        with pytest.raises(ValueError, match=message):
            tflite_export.export(model, tmp_path / "wrong.tflite", signature=wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def test_a_signature_tells_what_a_subclassed_model_takes(tmp_path):
    class Sum(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return {"sum": self.dense(inputs["a"]) + inputs["b"]}

    model, spec = Sum(), keras.InputSpec
    signature = {"b": spec(shape=(None, 2)), "a": spec(shape=(None, 5), dtype="float32")}
    report = tflite_export.export(model, tmp_path / "sum.tflite", signature=signature, batch_size=None)
    assert model.built
    assert report.inputs == ("a", "b")
    assert report.outputs == ("sum",)
    data = {"a": RNG.normal(size=(4, 5)), "b": RNG.normal(size=(4, 2))}
    expected = model.predict(data, verbose=0)["sum"]
    np.testing.assert_allclose(tflite_export.predict(report.path, data), expected, atol=1e-5)


def test_a_signature_builds_a_sequential_model(tmp_path):
    model = keras.Sequential([layers.Dense(4, activation="relu"), layers.Dense(2)])
    options = {"signature": keras.InputSpec(shape=(None, 3)), "batch_size": None, "verify": False}
    tflite_export.export(model, tmp_path / "model.tflite", **options)
    x = RNG.normal(size=(5, 3)).astype("float32")
    np.testing.assert_allclose(litert(tmp_path / "model.tflite", x), model.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, r"`batch_size` must be an integer of at least 1. Received: batch_size=0"),
        ({"batch_size": True}, r"`batch_size` must be .* Received: batch_size=True"),
        ({"allow": "flex"}, r"`allow` must be a tuple of some of \['flex', 'custom'\]. Received: allow='flex'"),
        ({"allow": ("all",)}, r"Received: allow=\('all',\)"),
        ({"verify": None}, r"`verify` must be True or False. Received: verify=None"),
        ({"verify": False, "inputs": X, "labels": [0] * 10}, r"Received: labels with verify=False"),
    ],
)
def test_bad_options_write_nothing(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        tflite_export.export(cnn(), tmp_path / "model.tflite", **options)
    assert not list(tmp_path.iterdir())
