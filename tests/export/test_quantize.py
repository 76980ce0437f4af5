"""`export` with quantized and sparse weights."""

import json
import re

import keras
import numpy as np
import pytest

import keras_prune as kp
import tflite_export
from tflite_export import ExportError

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tflite_export converts with TensorFlow"
)
layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.random((64, 12, 12, 3)).astype("float32")
BYTES = {None: "float32", "float16": "float16", "dynamic": "int8", "int8": "int8", "int16x8": "int8"}


@pytest.fixture(scope="module")
def cnn():
    """A CNN of which half the weights are zero."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3), name="image"),
            layers.Conv2D(8, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(32, activation="relu", name="hidden"),
            layers.Dense(4, activation="softmax", name="head"),
        ]
    )
    return kp.strip_pruning(kp.prune_weights(model, 0.5))


def block_sparse(width, zeros):
    """A model of two Dense layers whose zeros come in blocks of `width` inputs."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((64,)), layers.Dense(64, activation="relu", use_bias=False), layers.Dense(64, use_bias=False)]
    )
    return kp.strip_pruning(kp.prune_weights(model, zeros, selection=kp.Block((width, 1))))


@pytest.fixture(scope="module", params=list(BYTES), ids=str)
def exported(request, cnn, tmp_path_factory):
    """The CNN in each mode, made of the same weights: mode, report."""
    mode = request.param
    data = {"representative_data": X} if mode in ("int8", "int16x8") else {}
    path = tmp_path_factory.mktemp("modes") / "model.tflite"
    labels = cnn.predict(X, verbose=0).argmax(-1)
    return mode, tflite_export.export(cnn, path, quantize=mode, inputs=X, labels=labels, sparse=False, **data)


def test_every_mode_computes_what_keras_does(cnn, exported):
    mode, report = exported
    outputs, expected = tflite_export.predict(report.path, X), cnn.predict(X, verbose=0)
    assert outputs.dtype == "float32"
    np.testing.assert_allclose(outputs, expected, atol=1e-5 if mode is None else 0.02)
    measured = np.abs(outputs[:8] - expected[:8]).max()  # relative to 1: these are probabilities
    assert report.max_difference >= measured - 1e-6
    assert report.mean_difference <= report.max_difference <= report.tolerance
    assert report.keras_accuracy == 1.0  # the labels are what Keras says
    assert report.accuracy == (outputs.argmax(-1) == expected.argmax(-1)).mean()


def test_every_mode_stores_its_type_and_keeps_the_zeros(cnn, exported):
    mode, report = exported
    found = {tensor.elements: tensor for tensor in report.tensors}
    for name in ("conv", "hidden", "head"):
        kernel = cnn.get_layer(name).kernel.numpy()
        tensor = found[kernel.size]
        assert tensor.dtype == BYTES[mode] or (mode == "dynamic" and kernel.size < 1024)  # too small to be worth it
        assert tensor.zeros >= np.sum(kernel == 0) == kernel.size / 2
        assert not tensor.stored_sparse
    assert report.quantize == mode
    assert report.bytes == report.path.stat().st_size
    assert report.bytes > 25_600 * np.dtype(BYTES[mode]).itemsize  # the largest kernel


def test_reports_are_tables_json_and_pages(exported):
    mode, report = exported
    text, values = str(report), json.loads(report.to_json())
    assert re.search(rf"weights +{mode or 'float32'}, zeros stored", text)
    assert re.search(rf"accuracy +{report.accuracy:.2%}, Keras 100.00%", text)
    assert values["quantize"] == mode
    assert max(values["tensors"], key=lambda tensor: tensor["elements"])["dtype"] == BYTES[mode]
    page = report.to_html()
    assert page.startswith("<!DOCTYPE html>")
    assert "FULLY_CONNECTED" in page


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_int8_with_integer_inputs_and_outputs(cnn, tmp_path, kind):
    from ai_edge_litert.interpreter import Interpreter

    path = tmp_path / "int8.tflite"
    types = {"input_type": kind, "output_type": kind}
    tflite_export.export(cnn, path, quantize="int8", representative_data=X, sparse=False, **types)
    interpreter = Interpreter(model_path=str(path))  # the oracle: LiteRT's own, and the scales by hand
    interpreter.allocate_tensors()
    (reads,), (writes,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert reads["dtype"] == writes["dtype"] == np.dtype(kind).type
    scale, point = reads["quantization"]
    interpreter.set_tensor(reads["index"], np.rint(X[:1] / scale + point).clip(*limits(kind)).astype(kind))
    interpreter.invoke()
    scale, point = writes["quantization"]
    output = (interpreter.get_tensor(writes["index"]).astype("float32") - point) * scale
    np.testing.assert_allclose(output, cnn.predict(X[:1], verbose=0), atol=0.02)
    np.testing.assert_allclose(tflite_export.predict(path, X[:1]), output, atol=1e-6)


def limits(kind):
    return np.iinfo(kind).min, np.iinfo(kind).max


def test_auto_leaves_zeros_out_where_that_is_smaller(cnn, tmp_path):
    sparse = kp.strip_pruning(kp.prune_weights(cnn, 0.9))
    kept = tflite_export.export(sparse, tmp_path / "dense.tflite", sparse=False)
    auto = tflite_export.export(sparse, tmp_path / "auto.tflite")
    assert auto.sparse
    assert not kept.sparse
    assert auto.bytes < 0.4 * kept.bytes
    assert {t.elements: t.zeros for t in auto.tensors} == {t.elements: t.zeros for t in kept.tensors}
    x = X[:4]
    np.testing.assert_allclose(tflite_export.predict(auto.path, x), tflite_export.predict(kept.path, x), atol=1e-6)


def test_sparse_int8_of_whole_blocks(tmp_path):
    model, x = block_sparse(16, 0.75), RNG.normal(size=(64, 64)).astype("float32")
    data = {"quantize": "int8", "representative_data": x}
    report = tflite_export.export(model, tmp_path / "sparse.tflite", sparse=True, **data)
    dense = tflite_export.export(model, tmp_path / "dense.tflite", sparse=False, **data)
    assert report.sparse
    assert all(tensor.stored_sparse and tensor.sparsity >= 0.75 for tensor in report.tensors)
    assert report.bytes < dense.bytes
    with pytest.raises(ValueError, match=r"(?s)blocks of 16 inputs.*are not: dense.*Received: sparse=True"):
        tflite_export.export(block_sparse(4, 0.75), tmp_path / "no.tflite", sparse=True, **data)


def test_sparse_float16_of_blocks_is_refused(tmp_path):
    """LiteRT 2.3 would crash on it."""
    model = block_sparse(4, 0.75)
    with pytest.raises(ValueError, match=r"crashes on sparse float16 .*dense.*Received: sparse=True"):
        tflite_export.export(model, tmp_path / "no.tflite", quantize="float16", sparse=True)
    report = tflite_export.export(model, tmp_path / "model.tflite", quantize="float16")
    assert not report.sparse
    assert report.verified


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int7"}, r"`quantize` must be one of .*'int4'\]. Received: quantize='int7'"),
        ({"quantize": "int8"}, r"pass real inputs, some hundred, as `representative_data`. Received: .*=None"),
        ({"representative_data": X}, r"is for quantize='int8' or 'int16x8'. Received: quantize=None"),
        (
            {"input_type": "int8"},
            r"`input_type` must be one of \['float32'\] with quantize=None. Received: input_type='int8'",
        ),
        ({"quantize": "int8", "representative_data": X[:, :5]}, r"must have shape \(samples, 12, 12, 3\). Received"),
        ({"quantize": "dynamic", "sparse": True}, r"wrong outputs from sparse weights .* Received: sparse=True"),
        ({"sparse": "yes"}, r"`sparse` must be one of \['auto', True, False\]. Received: sparse='yes'"),
        ({"labels": [0, 1]}, r"`labels` are those of `inputs`. Received: \(2,\) labels with inputs=None"),
        ({"inputs": X, "labels": [0, 1]}, r"must have shape \(64,\), .* Received: shape \(2,\)"),
    ],
)
def test_bad_input_writes_nothing(cnn, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        tflite_export.export(cnn, tmp_path / "model.tflite", **options)
    assert not list(tmp_path.iterdir())


def test_labels_need_one_output_of_scores(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Reshape((2, 2))])
    with pytest.raises(ExportError, match=r"one output of shape \(samples, classes\).*Received: .*\(3, 2, 2\)"):
        tflite_export.export(model, tmp_path / "model.tflite", inputs=np.ones((3, 4)), labels=[0, 1, 1])
    assert not list(tmp_path.iterdir())


def test_zeros_are_no_shared_values(cnn, tmp_path):
    pruned = kp.strip_pruning(kp.prune_weights(cnn, 0.95))  # few values are left of each small kernel
    report = tflite_export.export(pruned, tmp_path / "a.tflite", quantize="int8", representative_data=X, sparse=False)
    assert {tensor.quantization for tensor in report.tensors} == {"per-channel"}


def test_shared_values_stay_shared(cnn, tmp_path):
    shared = kp.strip_pruning(kp.cluster_weights(cnn, clusters=16))
    data = {"quantize": "int8", "representative_data": X, "sparse": False}
    report = tflite_export.export(shared, tmp_path / "shared.tflite", **data)
    sizes = {shared.get_layer(name).kernel.numpy().size for name in ("hidden", "head")}
    kernels = [tensor for tensor in report.tensors if tensor.elements in sizes]
    assert len(kernels) == 2
    assert all(tensor.distinct <= 17 and tensor.quantization == "per-tensor" for tensor in kernels)
    assert not any("shared values" in line for line in report.warnings)

    split = tflite_export.export(shared, tmp_path / "split.tflite", per_channel=True, **data)
    assert any(re.match(r"conv: 17 shared values have become \d+", line) for line in split.warnings)
    assert re.search(r"warning +conv: ", str(split))


def test_a_rolled_lstm_in_int8_is_refused_and_an_unrolled_one_is_not(tmp_path):
    def build(unroll):
        keras.utils.set_random_seed(3)
        return keras.Sequential(
            [keras.Input((4, 3)), layers.LSTM(5, unroll=unroll, name="memory"), layers.Dense(2, name="head")]
        )

    x = RNG.normal(size=(32, 4, 3)).astype("float32")
    data = {"quantize": "int8", "representative_data": x}
    with pytest.raises(ExportError, match=r"(?s)conversion.*Build memory with unroll=True and give them the same"):
        tflite_export.export(build(False), tmp_path / "rolled.tflite", **data)
    assert not list(tmp_path.iterdir())
    report = tflite_export.export(build(True), tmp_path / "unrolled.tflite", **data)
    assert report.max_difference < 0.1


def test_difference_beyond_the_tolerance_writes_nothing(cnn, tmp_path):
    with pytest.raises(ExportError, match=r"must be within 1e-06 of Keras's"):
        tflite_export.export(cnn, tmp_path / "model.tflite", quantize="float16", tolerance=1e-6)
    assert not list(tmp_path.iterdir())
