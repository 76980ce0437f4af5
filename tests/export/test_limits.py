"""Files that are harmless on zeros and endless, or huge, on other inputs: limits of the time and of the memory."""

import sys
import time

import keras
import numpy as np
import pytest
from support import tflite_files as made

import tflite_export
from tflite_export import limits, subprocesses
from tflite_export.limits import Limits
from tflite_export.reader import flatbuffer
from tflite_export.runtime import calls

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
ZEROS, OTHER = np.zeros((1, 4), "float32"), np.array([[0.9, 0.7, 0.3, 0.6]], "float32")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    import tensorflow as tf

    def endless(x):
        return tf.while_loop(lambda v: tf.reduce_max(v) > 0.5, lambda v: [v * 1.0 + 0 * tf.reduce_sum(v)], [x])[0]

    def huge(x):
        return tf.reduce_sum(tf.fill([1 + tf.cast(x[0, 0] * 2.0**28, tf.int32)], x[0, 0]))[None, None]

    def halves(x):
        return tf.while_loop(lambda v: tf.reduce_max(v) > 0.5, lambda v: [v * 0.5], [x])[0]

    folder, paths = tmp_path_factory.mktemp("files"), {}
    for function in (endless, huge, halves):
        concrete = tf.function(function, input_signature=[tf.TensorSpec((1, 4), tf.float32, name="x")])
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete.get_concrete_function()])
        paths[function.__name__] = folder / f"{function.__name__}.tflite"
        paths[function.__name__].write_bytes(converter.convert())
    return paths


def test_an_endless_loop_is_an_error(files):
    path = files["endless"]
    np.testing.assert_array_equal(tflite_export.predict(path, ZEROS), ZEROS)
    tasks = (
        lambda: tflite_export.predict(path, OTHER, timeout=1),
        lambda: tflite_export.compare(path, files["halves"], OTHER, timeout=1),
        lambda: tflite_export.benchmark(path, inputs=OTHER, timeout=1),
        lambda: tflite_export.check_micro(path, OTHER, timeout=1),
    )
    for task in tasks[: 4 if made_for_micro() else 3]:
        start = time.monotonic()
        with pytest.raises(ValueError, match=r"took longer than `timeout` allows .* or None\. Received: timeout=1"):
            task()
        assert time.monotonic() - start < 30


def made_for_micro():
    import importlib.util

    return importlib.util.find_spec("tflite_micro") is not None


def test_the_time_is_that_of_a_call_and_not_of_all(files):
    """Each of these calls is short; all of them together are longer than the limit."""
    x = np.repeat(OTHER, 200, axis=0)
    expected = np.where(OTHER.max() > 0.5, OTHER / 2, OTHER)
    np.testing.assert_allclose(tflite_export.predict(files["halves"], x, timeout=20), np.repeat(expected, 200, axis=0))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems keep no such limit")
def test_more_memory_than_allowed_is_an_error(files):
    assert tflite_export.predict(files["huge"], ZEROS).shape == (1, 1)
    with pytest.raises(ValueError, match=r"memory_limit=100,000,000: pass more bytes"):
        tflite_export.predict(files["huge"], OTHER, memory_limit=100_000_000)
    assert tflite_export.predict(files["huge"], OTHER / 4, memory_limit=4_000_000_000)[0, 0] > 0


def test_where_values_decide(files, tflite_files):
    decide = {name: calls.values_decide(flatbuffer.read(path.read_bytes())) for name, path in files.items()}
    assert decide == {"endless": True, "huge": True, "halves": True}
    usual = {name: calls.values_decide(flatbuffer.read(path.read_bytes())) for name, path in tflite_files[1].items()}
    assert not any(usual.values())  # those run in this process


def test_a_free_batch_is_no_such_value(tmp_path):
    model = keras.Sequential([keras.Input((6, 2)), keras.layers.Flatten(), keras.layers.Dense(3)])
    tflite_export.export(model, tmp_path / "a.tflite", batch_size=None)
    assert not calls.values_decide(
        flatbuffer.load(tmp_path / "a.tflite") and flatbuffer.read(flatbuffer.load(tmp_path / "a.tflite"))
    )


def test_an_export_whose_file_takes_too_long_writes_nothing(old_file, monkeypatch):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    with pytest.raises(tflite_export.ExportError, match=r"Received: timeout=1e-06"):
        tflite_export.export(model, old_file, timeout=1e-6, overwrite=True)


def test_values_that_decide_give_the_same_in_a_subprocess(tflite_files, monkeypatch):
    """Whatever the file is, and several calls at once."""
    path, x = tflite_files[1]["int8"], made.images(5)
    expected = tflite_export.predict(path, x)
    monkeypatch.setattr("tflite_export.runtime.litert.values_decide", lambda model: True)
    np.testing.assert_array_equal(tflite_export.predict(path, x), expected)


@pytest.mark.parametrize("arguments", [{"timeout": 0}, {"timeout": -1}, {"timeout": "1"}, {"timeout": float("nan")}])
def test_wrong_limits(arguments, files):
    for function in (tflite_export.predict, tflite_export.check_micro):
        with pytest.raises(ValueError, match=r"`timeout` must be .*Received: timeout="):
            function(files["halves"], ZEROS, **arguments)
    with pytest.raises(ValueError, match=r"`memory_limit` must be an integer .*Received: memory_limit=0"):
        tflite_export.benchmark(files["halves"], memory_limit=0)


def test_where_there_is_no_timer(monkeypatch, tmp_path):
    """As on Windows: Python's own watchdog ends the process."""
    program = tmp_path / "program.py"
    program.write_text(
        "import time\nfrom tflite_export import limits\nlimits._TIMER = False\nlimits.Watch()\ntime.sleep(20)"
    )
    monkeypatch.setattr(subprocesses, "command", lambda *_: [sys.executable, str(program)])
    with pytest.raises(tflite_export.ExportError, match=r"the run took longer .*Received: timeout=0\.2"):
        subprocesses.run("none", task="the run", limits=Limits(0.2))
    assert limits.TIMEOUT == 120
