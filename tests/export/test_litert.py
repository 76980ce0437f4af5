"""`predict` on files from elsewhere: quantized ones, damaged ones, ones that crash LiteRT."""

import keras
import numpy as np
import pytest
from support import tflite_files as made
from support.versions import needs_tensorflow

import tflite_export
from tflite_export.runtime import ports, trial_run

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")


def stored_outputs(path, x):
    """The oracle: TensorFlow's own interpreter on inputs of the type that the file stores."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    (read,), (written,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for row in x:
        interpreter.set_tensor(read["index"], row[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(written["index"])[0])
    return np.array(outputs), read["quantization"], written["quantization"]


ROUNDING = needs_tensorflow("2.20", "its interpreter rounds a few integers of sixteen bits otherwise than LiteRT")


@pytest.mark.parametrize("kind", ["int8", pytest.param("int16x8", marks=ROUNDING)])
def test_quantized_files_take_and_give_real_numbers(tflite_files, kind):
    model, paths = tflite_files
    x = made.images(6, seed=3)
    dtype = {"int8": "int8", "int16x8": "int16"}[kind]
    _, (scale, point), _ = stored_outputs(paths[kind], np.zeros((1, *x.shape[1:]), dtype))
    limits = np.iinfo(dtype)
    stored = np.clip(np.rint(x / np.float32(scale)) + point, limits.min, limits.max).astype(dtype)
    expected, _, (out_scale, out_point) = stored_outputs(paths[kind], stored)

    raw = tflite_export.predict(paths[kind], x, raw=True)
    assert raw.dtype == dtype
    np.testing.assert_array_equal(raw, expected)
    real = tflite_export.predict(paths[kind], x)
    assert real.dtype == "float32"
    np.testing.assert_allclose(real, out_scale * (expected.astype("float32") - out_point), rtol=1e-6)
    np.testing.assert_allclose(real, model.predict(x, verbose=0), atol=0.03)
    # Integers of the input's own type are quantized already.
    np.testing.assert_array_equal(tflite_export.predict(paths[kind], stored), real)


def test_what_a_quantized_input_refuses(tflite_files):
    path = tflite_files[1]["int8"]
    x = made.images(2)
    with pytest.raises(ValueError, match=r"takes floating-point numbers, or int8 .* Received: dtype int64"):
        tflite_export.predict(path, (x * 255).astype("int64"))
    x[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"must hold numbers. Received: 1 values are NaN"):
        tflite_export.predict(path, x)
    x[0, 0, 0, 0] = np.inf  # as large as it goes
    largest = x.copy()
    largest[0, 0, 0, 0] = 1e9
    np.testing.assert_array_equal(tflite_export.predict(path, x), tflite_export.predict(path, largest))


def test_quantize_by_hand():
    values = np.array([-10, -0.26, -0.25, 0, 0.25, 0.75, 0.76, 100.0])
    stored = ports.quantize(values, 0.5, 3, "int8")
    np.testing.assert_array_equal(stored, [-17, 2, 3, 3, 3, 5, 5, 127])  # -0.5, 0.5 and 1.5 are ties
    assert stored.dtype == "int8"
    real = ports.dequantize(stored, 0.5, 3)
    np.testing.assert_array_equal(real, [-10, -0.5, 0, 0, 0, 1, 1, 62])
    assert ports.quantize(np.array([-1.0, 300]), 1.0, 0, "uint8").tolist() == [0, 255]


def test_the_trial_run_is_made_once(tflite_files, tmp_path, monkeypatch):
    started = []
    run = trial_run.subprocesses.run
    monkeypatch.setattr(
        trial_run.subprocesses, "run", lambda *line, **named: (started.append(line), run(*line, **named))
    )
    monkeypatch.setattr(trial_run, "_PASSED", set())
    path, x = tmp_path / "copy.tflite", made.images(1)
    path.write_bytes(tflite_files[1]["float32"].read_bytes())
    for _ in range(3):
        tflite_export.predict(path, x)
    tflite_export.predict(tflite_files[1]["float32"], x)  # the same content elsewhere
    assert len(started) == 1
    path.write_bytes(tflite_files[1]["float16"].read_bytes())  # another under the old name
    tflite_export.predict(path, x)
    assert len(started) == 2


def sparse_index(content, index):
    """The sparse file, with every index of its convolution's kernel the same."""
    from ai_edge_litert.schema_py_generated import Int32VectorT

    model = made.unpack(content)
    for tensor in model.subgraphs[0].tensors:
        if tensor.sparsity is not None and len(tensor.shape) == 4:
            level = tensor.sparsity.dimMetadata[-1]
            vector = Int32VectorT()
            vector.values = [index] * len(level.arrayIndices.values)
            level.arrayIndicesType, level.arrayIndices = 1, vector
    return made.pack(model)


@pytest.mark.parametrize("index", [3, -1, 1 << 28, 0])  # the last axis has three; 0 is there, but not twice
def test_sparse_indices_are_checked(tflite_files, tmp_path, index):
    path = tmp_path / "sparse.tflite"
    path.write_bytes(sparse_index(tflite_files[1]["sparse"].read_bytes(), index))
    with pytest.raises(ValueError, match=r"index that does not fit its shape \[8, 3, 3, 3\]. Received: "):
        tflite_export.predict(path, made.images(1))


def test_a_crash_of_litert_is_an_error(tflite_files, tmp_path, monkeypatch):
    monkeypatch.setattr(trial_run.flatbuffer, "read", lambda content: None)  # as if the check had let it pass
    path = tmp_path / "crash.tflite"
    path.write_bytes(sparse_index(tflite_files[1]["sparse"].read_bytes(), 1 << 28))
    with pytest.raises(ValueError, match=r"run the file '.*crash.tflite', but .* crashed. Received: signal"):
        tflite_export.predict(path, made.images(1))


def test_what_litert_refuses_is_an_error(tflite_files, tmp_path):
    """Structure and sizes are right, so that only LiteRT itself can find out."""
    model = made.unpack(tflite_files[1]["float32"].read_bytes())
    for operator in model.subgraphs[0].operators:
        operator.inputs = operator.inputs[::-1].copy()
    path = tmp_path / "odd.tflite"
    path.write_bytes(made.pack(model))
    tflite_export.inspect(path)
    with pytest.raises(ValueError, match=r"LiteRT must be able to run the file '.*odd.tflite'.*Received: "):
        tflite_export.predict(path, made.images(1))


def test_damaged_files_do_not_end_this_process(tflite_files, tmp_path):
    contents = [path.read_bytes() for path in tflite_files[1].values()]
    path, x = tmp_path / "damaged.tflite", made.images(1)
    refused = ran = 0
    for _, content in made.mutations(contents, 200, 1):
        path.write_bytes(content)
        try:
            outputs = tflite_export.predict(path, x)
        except ValueError as error:
            assert "Received: " in str(error)  # noqa: PT017 -- some of the files run
            refused += 1
        else:
            assert outputs.ndim == 2
            ran += 1
    assert refused > 100
    assert ran > 0
