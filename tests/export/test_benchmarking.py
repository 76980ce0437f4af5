"""`benchmark` and `compare`: what they measure, and what they refuse."""

import keras
import numpy as np
import pytest
from support import tflite_files as made

import tflite_export
from tflite_export.runtime import litert

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")


def test_benchmark_of_two_files(tflite_files, tmp_path, capfd):
    paths = tflite_files[1]
    twice = tmp_path / "sub" / "again.tflite"
    twice.parent.mkdir()
    twice.write_bytes(paths["float32"].read_bytes())
    result = tflite_export.benchmark([paths["float32"], paths["int8"], str(twice)], runs=12, threads=(1, 2))
    assert [(t.path, t.threads) for t in result.timings] == [
        (path, threads) for threads in (1, 2) for path in (paths["float32"], paths["int8"], twice)
    ]
    for timing in result.timings:
        assert timing.runs == 12
        assert 0 < timing.p10_ms <= timing.median_ms <= timing.p90_ms
        first = result.timings[3 * (timing.threads - 1)]
        assert timing.ratio == timing.median_ms / first.median_ms
    assert result.timings[0].ratio == 1
    text = str(result)
    assert "again.tflite" in text
    assert "1.00" in text
    assert not capfd.readouterr().out
    with pytest.raises(AttributeError):
        result.timings[0].ratio = 2


def test_times_go_to_the_right_file(tmp_path):
    """Two Dense layers of the same kind, one with 256 times the multiplications: on any machine it takes longer."""
    paths = []
    for size in (64, 1024):
        model = keras.Sequential([keras.Input((size,)), keras.layers.Dense(size)])
        paths.append(tmp_path / f"{size}.tflite")
        paths[-1].write_bytes(made.convert(model, "float32", tmp_path))
    result = tflite_export.benchmark(paths, runs=20)
    assert result.timings[1].ratio > 1 == result.timings[0].ratio


def test_benchmark_on_inputs(tflite_files):
    path = tflite_files[1]["int8"]
    assert len(tflite_export.benchmark(path, runs=1, inputs=made.images(3)).timings) == 1
    with pytest.raises(ValueError, match=r"must have shape \(samples, 8, 8, 3\)"):
        tflite_export.benchmark(path, runs=1, inputs=np.zeros((1, 2), "float32"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runs": 0}, "`runs` must be an integer of at least 1. Received: runs=0"),
        ({"runs": True}, "`runs` must be an integer of at least 1. Received: runs=True"),
        ({"threads": 2}, r"`threads` must be different whole numbers of at least 1, as \(1, 4\). Received: threads=2"),
        ({"threads": (1, 1)}, r"Received: threads=\(1, 1\)"),
        ({"threads": (1, 1.0)}, r"Received: threads=\(1, 1.0\)"),
        ({"threads": (1, 2.0)}, r"Received: threads=\(1, 2.0\)"),
        ({"threads": (True,)}, r"Received: threads=\(True,\)"),
        ({"threads": ()}, r"Received: threads=\(\)"),
    ],
)
def test_benchmark_refuses(tflite_files, arguments, message):
    with pytest.raises(ValueError, match=message):
        tflite_export.benchmark(tflite_files[1]["float32"], **arguments)


def test_benchmark_refuses_files(tflite_files, tmp_path):
    with pytest.raises(ValueError, match=r"at least one file\. Received: paths=\[\]"):
        tflite_export.benchmark([])
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(tflite_files[1]["float32"].read_bytes()[:2000])
    with pytest.raises(ValueError, match="Received: 2,000 bytes"):
        tflite_export.benchmark([tflite_files[1]["float32"], damaged])


def test_calls_take_turns():
    class Fake:
        def __init__(self, name):
            self.name = name

        def invoke(self):
            order.append(self.name)

    order = []
    times = litert.time_calls([Fake("a"), Fake("b"), Fake("c")], runs=7)
    assert [len(each) for each in times] == [7, 7, 7]
    turns = ["".join(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert {turn[0] for turn in turns} == {"a", "b", "c"}
    order.clear()
    litert.time_calls([Fake("a")], runs=50, seconds=0)
    assert 5 <= len(order) < 20  # no time left, yet enough for a median


@pytest.mark.parametrize("kind", ["float16", "int8", "int16x8"])
def test_compare_with_keras_and_with_a_file(tflite_files, kind):
    model, paths = tflite_files
    x = made.images(20, seed=4)
    reference = model.predict(x, verbose=0).astype("float64")
    outputs = tflite_export.predict(paths[kind], x).astype("float64")
    found = tflite_export.compare(model, paths[kind], x)
    (output,) = found.outputs
    assert output.name == "output_0"
    assert (found.samples, output.shape) == (20, (20, 5))
    assert output.max == found.max == np.abs(outputs - reference).max() > 0
    assert output.mean == np.abs(outputs - reference).mean()
    assert output.largest == np.abs(reference).max()
    assert output.agreement == np.mean(outputs.argmax(1) == reference.argmax(1))
    assert f"{paths[kind].name}, 20 samples" in str(found)
    assert tflite_export.compare(paths["float32"], paths[kind], x).max == pytest.approx(output.max, abs=1e-5)
    assert tflite_export.compare(paths[kind], str(paths[kind]), x).max == 0


def two_outputs(folder, order):
    """A file with the outputs x + 1 and x + 2, listed in an order."""
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 3), "float32", name="x")])
        def __call__(self, x):
            return {"one": x + 1.0, "two": x + 2.0}

    module = Module()
    tf.saved_model.save(module, str(folder / "saved"), signatures=module.__call__.get_concrete_function())
    content = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved")).convert()
    path = folder / f"{'_'.join(order)}.tflite"
    path.write_bytes(tflite_export.reader.flatbuffer.in_order(content, ["x"], order))
    return path


def test_compare_matches_outputs_by_name(tmp_path):
    a, b = two_outputs(tmp_path, ["one", "two"]), two_outputs(tmp_path, ["two", "one"])
    x = np.random.default_rng(0).random((4, 3)).astype("float32")
    assert [y[0, 0] - x[0, 0] for y in tflite_export.predict(b, x)] == pytest.approx([2, 1])
    found = tflite_export.compare(a, b, x)
    assert [output.name for output in found.outputs] == ["one", "two"]
    assert found.max == 0
    nan = np.full((1, 3), np.nan, "float32")
    assert np.isnan(tflite_export.compare(a, b, nan).max)


def test_compare_refuses(tflite_files, tmp_path):
    path, x = tflite_files[1]["float32"], made.images(1)
    with pytest.raises(ValueError, match=r"a path to a .tflite file or a keras.Model. Received: 3"):
        tflite_export.compare(path, 3, x)
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"same shape. Received: \(1, 5\) and \(1, 192\)"):
        tflite_export.compare(path, other, x)
    with pytest.raises(ValueError, match=r"as many outputs. Received: 1 and 2"):
        tflite_export.compare(path, keras.Model(other.inputs, [other.outputs[0], other.outputs[0] + 1]), x)
