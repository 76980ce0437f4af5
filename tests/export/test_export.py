"""A model and its file compute the same; what goes wrong on the way leaves nothing behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_prune
import tflite_export
from tflite_export import ExportError, subprocesses
from tflite_export.keras_models import signature
from tflite_export.reader import flatbuffer
from tflite_export.verification import reference

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tflite_export converts with TensorFlow"
)
layers = keras.layers


def small_model(size=4):
    return keras.Sequential([keras.Input((size,)), layers.Dense(3, name="head")])


@pytest.fixture(scope="module", autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="module")
def cnn(tmp_path_factory):
    """A CNN with BatchNormalization and zeros in its kernels, exported: model, report, path."""
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU()(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="head")(x))
    rng = np.random.default_rng(1)
    for weight in model.weights:  # statistics and biases that are not all 0 or 1
        weight.assign(rng.uniform(0.2, 1.0, weight.shape))
    for name, sparsity in (("conv", 0.75), ("head", 0.5)):
        kernel = model.get_layer(name).kernel
        values = kernel.numpy()
        values.flat[rng.permutation(values.size)[: int(sparsity * values.size)]] = 0
        kernel.assign(values)
    path = tmp_path_factory.mktemp("cnn") / "cnn.tflite"
    before = model.get_weights()
    report = tflite_export.export(model, path)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return model, report, path


def run_by_name(path, **inputs):
    """The oracle: LiteRT's own signature runner, without our code."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner()
    return runner(**inputs)


def test_import_is_cheap():
    heavy = ("tensorflow", "keras", "rich", "ai_edge_litert")
    code = f"import sys, tflite_export; print([m for m in {heavy} if m in sys.modules])"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == "[]"


def test_the_check_runs_without_tensorflow(cnn, tmp_path):
    np.savez(tmp_path / "in.npz", sizes=[1, 1], input_0=np.zeros((2, 12, 12, 3), "float32"))
    code = (
        "import sys; from tflite_export.workers import verify; verify.main(*sys.argv[1:]); "
        "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    arguments = [str(cnn[2]), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == "[]"
    with np.load(tmp_path / "out.npz") as out:
        assert out["xnnpack_0"].shape == out["plain_0"].shape == (2, 10)
        assert len(out["seconds_1"]) >= 5


def test_cnn_agrees_with_keras(cnn):
    model, report, path = cnn
    x = np.random.default_rng(2).standard_normal((5, 12, 12, 3)).astype("float32")
    expected = model.predict(x, verbose=0)
    for row, of_keras in zip(x, expected, strict=True):
        output = run_by_name(path, image=row[None])
        assert list(output) == ["output_0"]
        np.testing.assert_allclose(output["output_0"][0], of_keras, atol=1e-5)
    assert report.max_difference <= report.tolerance == 1e-4
    assert report.samples == 8
    assert report.inputs == ("image",)
    assert report.outputs == ("output_0",)


def test_report_of_the_cnn(cnn):
    _, report, path = cnn
    assert report.path == path
    assert report.bytes == path.stat().st_size
    assert 0 < report.xz_bytes < report.gzip_bytes < report.bytes
    assert report.operators["CONV_2D"] == report.operators["DEPTHWISE_CONV_2D"] == 1
    assert [timing.threads for timing in report.timings] == sorted({1, os.cpu_count()})
    for timing in report.timings:
        assert 0 < timing.p10_ms <= timing.median_ms <= timing.p90_ms
    assert report.latency_ms == report.timings[0].median_ms
    assert report.memory or sys.platform != "linux"
    tensors = {tensor.shape: tensor for tensor in report.tensors}
    conv, head = tensors[8, 3, 3, 3], tensors[10, 8]
    assert (conv.elements, conv.zeros, conv.sparsity) == (216, 162, 0.75)
    assert (head.elements, head.zeros, head.sparsity) == (80, 40, 0.5)
    assert conv.dtype == "float32"
    with pytest.raises(AttributeError):
        report.bytes = 1


def test_report_prints_plain_tables(cnn, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = str(cnn[1])
    assert "\x1b" not in text
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 100
    for part in ("cnn.tflite", "8 x 3 x 3 x 3", "162", "75.0%", "1 CONV_2D", f"{cnn[1].bytes:,} bytes"):
        assert part in text


def test_predict_equals_keras(cnn):
    model, _, path = cnn
    x = np.random.default_rng(3).standard_normal((33, 12, 12, 3))
    outputs = tflite_export.predict(path, x)
    np.testing.assert_allclose(outputs, model.predict(x, verbose=0), atol=1e-5)
    np.testing.assert_array_equal(tflite_export.predict(str(path), {"image": x}), outputs)
    np.testing.assert_array_equal(tflite_export.predict(path, [x]), outputs)


def test_predict_refuses_what_does_not_fit(cnn, tmp_path):
    path = cnn[2]
    with pytest.raises(ValueError, match=r"must have shape \(samples, 12, 12, 3\). Received: shape \(12, 12, 3\)"):
        tflite_export.predict(path, np.zeros((12, 12, 3)))
    with pytest.raises(ValueError, match=r"inputs are \['image'\]. Received: a dict of \['picture'\]"):
        tflite_export.predict(path, {"picture": np.zeros((1, 12, 12, 3))})
    with pytest.raises(ValueError, match=r"Received: 2 arrays"):
        tflite_export.predict(path, [np.zeros((1, 12, 12, 3)), np.zeros((1, 12, 12, 3))])
    with pytest.raises(ValueError, match=r"must be a .tflite file. Received: .*none.tflite"):
        tflite_export.predict(tmp_path / "none.tflite", np.zeros((1, 12, 12, 3)))


def test_inputs_and_outputs_of_one_shape_keep_their_order(tmp_path):
    # Alphabetical order, order of creation and Keras's order all differ.
    inputs = {name: keras.Input((4,), name=name) for name in ("b", "d", "c", "a")}
    order = ["d", "a", "c", "b"]
    doubled = [(i + 1.0) * inputs[name] for i, name in enumerate(order)]
    model = keras.Model([inputs[name] for name in order], [doubled[2], doubled[0], doubled[3], doubled[1]])
    path = tmp_path / "order.tflite"
    report = tflite_export.export(model, path)
    assert report.inputs == tuple(order)
    assert report.outputs == ("output_0", "output_1", "output_2", "output_3")

    x = {name: np.full((1, 4), 10.0**i, "float32") for i, name in enumerate(order)}  # 1, 10, 100, 1000
    expected = [300.0, 1.0, 4000.0, 20.0]
    named = run_by_name(path, **x)
    assert [named[f"output_{i}"][0, 0] for i in range(4)] == expected

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    for detail, name in zip(interpreter.get_input_details(), order, strict=True):
        interpreter.set_tensor(detail["index"], x[name])
    interpreter.invoke()
    by_place = [interpreter.get_tensor(detail["index"])[0, 0] for detail in interpreter.get_output_details()]
    assert by_place == expected

    assert [y[0, 0] for y in tflite_export.predict(path, [x[name] for name in order])] == expected
    assert [y[0, 0] for y in tflite_export.predict(path, x)] == expected


def test_nested_inputs_and_dict_outputs(tmp_path):
    left, right, extra = keras.Input((3,), name="in"), keras.Input((3,)), keras.Input((2,), name="x y:1")
    model = keras.Model(
        {"pair": [left, right], "extra": extra},
        {"sum": left + 2 * right, "first": left, "again": left, "extra": layers.Dense(2)(extra)},
    )
    rng = np.random.default_rng(4)
    data = {"pair": [rng.random((3, 3)), rng.random((3, 3))], "extra": rng.random((3, 2))}
    report = tflite_export.export(model, tmp_path / "nest.tflite", inputs=data)
    assert report.samples == 3
    assert report.inputs == ("x_y_1", "input_in", "input_2")
    assert set(report.outputs) == {"sum", "first", "again", "extra"}
    flat = [data["extra"], *data["pair"]]
    outputs = dict(zip(report.outputs, tflite_export.predict(report.path, flat), strict=True))
    np.testing.assert_allclose(outputs["sum"], data["pair"][0] + 2 * data["pair"][1], rtol=1e-6)
    np.testing.assert_allclose(outputs["again"], data["pair"][0], rtol=1e-6)
    with pytest.raises(ValueError, match=r"nested as the model's inputs are: .*'pair': \['input_in'"):
        tflite_export.export(model, tmp_path / "nest2.tflite", inputs=flat)


def test_lstm_on_an_embedding(tmp_path):
    ids = keras.Input((6,), dtype="int32", name="ids")
    x = layers.LSTM(5)(layers.Embedding(11, 4)(ids))
    model = keras.Model(ids, layers.Dense(2)(x))
    report = tflite_export.export(model, tmp_path / "lstm.tflite")
    # Kernels and embeddings, not the constant zero state in which the loop begins.
    assert {tensor.shape for tensor in report.tensors} == {(11, 4), (20, 4), (20, 5), (2, 5)}
    tokens = np.random.default_rng(5).integers(0, 11, (4, 6))
    outputs = tflite_export.predict(report.path, tokens)
    np.testing.assert_allclose(outputs, model.predict(tokens, verbose=0), atol=1e-5)
    assert run_by_name(report.path, ids=tokens[:1].astype("int32"))["output_0"].shape == (1, 2)
    with pytest.raises(ValueError, match=r"that int32 can hold. Received: dtype float64"):
        tflite_export.predict(report.path, tokens + 0.5)


def test_synthetic_inputs():
    ids, number, flags = keras.Input((50,), name="ids"), keras.Input((50,)), keras.Input((50,), dtype="bool")
    x = layers.Embedding(3, 4)(ids) + layers.Embedding(7, 4)(ids)  # ids of Keras's default type, float32
    outputs = [x, layers.Identity()(number), layers.Identity()(flags)]  # Keras 3.10 takes no input as output
    model = keras.Model([ids, number, flags], outputs)
    specs = signature.inputs_of(model, model.input, 1)
    first, second, third = signature.synthetic_inputs(model, specs, 20)
    np.testing.assert_array_equal(np.unique(first), [0, 1, 2])  # what both vocabularies hold
    assert first.dtype == second.dtype == "float32"
    assert second.shape == (20, 50)
    assert abs(second.std() - 1) < 0.1
    assert third.dtype == "bool"
    np.testing.assert_array_equal(second, signature.synthetic_inputs(model, specs, 20)[1])


def test_subclassed_model(tmp_path):
    class Sum(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs["a"]) + 3 * inputs["b"]

    model = Sum()
    data = {"a": np.random.default_rng(6).random((4, 5)), "b": np.ones((4, 2))}
    model(data)
    path = tmp_path / "sum.tflite"
    with pytest.raises(
        ValueError, match=r"subclassed model are unknown: pass some as `inputs`, or .* Received: Sum with inputs=None"
    ):
        tflite_export.export(model, path)
    report = tflite_export.export(model, path, inputs=data)
    assert report.inputs == ("a", "b")
    np.testing.assert_allclose(tflite_export.predict(path, data), model.predict(data, verbose=0), atol=1e-5)


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_pruned_model_is_stripped_and_replaces_the_old_file(tmp_path, scratch):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    wrapped = keras_prune.wrap_pruning(small_model())
    report = tflite_export.export(wrapped, path, overwrite=True)

    x = np.random.default_rng(7).random((3, 4))
    np.testing.assert_allclose(tflite_export.predict(path, x), wrapped.predict(x, verbose=0), atol=1e-5)
    assert [tensor.shape for tensor in report.tensors] == [(3, 4)]  # no mask reached the file
    assert os.listdir(tmp_path) == ["model.tflite"]
    assert os.listdir(scratch) == []


@pytest.fixture
def converted(cnn, monkeypatch):
    """The CNN, with a conversion that takes no time: the file is there already."""

    class Converted:
        def __init__(self, *arguments):
            pass

        def convert(self, settings):
            return cnn[2].read_bytes()

    monkeypatch.setattr(sys.modules["tflite_export.export"], "Conversion", Converted)
    return cnn[0]


def test_difference_beyond_the_tolerance(old_file, converted, monkeypatch):
    run = reference.run_keras

    def shifted(*arguments):
        names, outputs = run(*arguments)
        return names, [output + 0.01 for output in outputs]

    monkeypatch.setattr(reference, "run_keras", shifted)
    with pytest.raises(ExportError, match=r"within 0.0001 of Keras's.* Received: a difference of 0.0"):
        tflite_export.export(converted, old_file, overwrite=True)


def test_lost_zeros(old_file, converted, monkeypatch):
    monkeypatch.setattr(flatbuffer, "zeros", lambda content: 0)
    with pytest.raises(ExportError, match=r"must keep the 202 zeros of the model's kernels. Received: 0 zeros"):
        tflite_export.export(converted, old_file, overwrite=True)


def test_file_that_litert_cannot_run(old_file, converted, monkeypatch):
    module = sys.modules["tflite_export.export"]  # the function of this name hides the module
    run_file = module.run_file
    monkeypatch.setattr(module, "run_file", lambda content, *rest: run_file(content[:1000], *rest))
    with pytest.raises(ExportError, match=r"the run in LiteRT failed: LiteRT cannot run the file.*Received: "):
        tflite_export.export(converted, old_file, overwrite=True)


@contextlib.contextmanager
def largest_file(size):
    """The system refuses to write more: as good as a full disk, and needs no rights."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_no_room_for_the_file(old_file, cnn, converted):
    with largest_file(len(cnn[2].read_bytes()) - 1), pytest.raises(OSError, match="File too large"):
        tflite_export.export(converted, old_file, overwrite=True, verify=False)


def test_full_disk(cnn, converted, tmp_path):
    """A disk of 64 kB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a disk takes root on Linux; test_no_room_for_the_file runs everywhere")
    try:
        path = disk / "model.tflite"
        old = bytes(64 * 1024 - 4096)  # one page is free
        path.write_bytes(old)
        assert cnn[2].stat().st_size > 4096
        with pytest.raises(OSError, match="No space left on device"):
            tflite_export.export(converted, path, overwrite=True, verify=False)
        assert path.read_bytes() == old
        assert os.listdir(disk) == ["model.tflite"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_crash_of_the_converter(old_file, monkeypatch):
    crash = [sys.executable, "-c", f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"]
    monkeypatch.setattr(subprocesses, "command", lambda name, *arguments: crash)
    with pytest.raises(ExportError, match=r"conversion .* crashed. Received: signal 11 \(SIGSEGV\)"):
        tflite_export.export(small_model(), old_file, overwrite=True)


def test_crash_of_litert(old_file, converted, monkeypatch):
    crash = [sys.executable, "-c", "import os; print('last words', flush=True); os.abort()"]
    monkeypatch.setattr(subprocesses, "command", lambda name, *arguments: crash)
    with pytest.raises(ExportError, match=r"the run in LiteRT crashed. Received: signal 6 \(SIGABRT\)"):
        tflite_export.export(converted, old_file, overwrite=True)


def test_a_sparse_file_that_the_converter_cut_is_not_taken(tmp_path):
    """The converter leaves out zeros in blocks of 4 inputs, also where there are 7, and forgets the last 3."""
    model = keras.Sequential([keras.Input((12,)), layers.Dense(7), layers.Dense(7)])
    for layer, sparsity in zip(model.layers, (0.6, 0.4), strict=True):  # the first makes it worth a try
        kernel = layer.kernel.numpy()
        layer.kernel.assign(np.where(np.abs(kernel) < np.quantile(np.abs(kernel), sparsity), 0, kernel))
    report = tflite_export.export(model, tmp_path / "model.tflite", inputs=np.eye(12, dtype="float32"))
    assert not report.sparse
    assert any("broken" in line for line in report.warnings)
    with pytest.raises(ExportError, match="broken"):
        tflite_export.export(model, tmp_path / "sparse.tflite", sparse=True)
    assert not (tmp_path / "sparse.tflite").exists()
