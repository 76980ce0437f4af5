"""`check_micro` on files that TensorFlow Lite Micro gets wrong, and on such as LiteRT refuses."""

import importlib.util
import sys

import keras
import numpy as np
import pytest
from support import tflite_files as made

import tflite_export
from tflite_export.arrays import relative_error
from tflite_export.reader import flatbuffer
from tflite_export.runtime.litert import Runner
from tflite_export.runtime.ports import Ports

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
check = "tflite_export.micro.check"
layers = keras.layers


@pytest.fixture
def micro(monkeypatch):
    """TensorFlow Lite Micro, played by a function: the calls, to the outputs of each."""

    def play(function):
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "tflite_micro" or find(name))
        monkeypatch.setattr(sys.modules[check], "_run", lambda content, calls, *_: (512, function(content, calls)))

    return play


def litert(content, calls):
    runner = Runner(content)
    return [runner.call(call) for call in calls]


def files_of(tflite_files):
    importlib.import_module(check)
    return tflite_files[1]


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_outputs_that_are_not_litert_s_are_a_problem(tflite_files, micro, kind):
    path = files_of(tflite_files)[kind]
    micro(litert)
    report = tflite_export.check_micro(path)
    assert (report.problems, report.ran, report.max_difference) == ((), True, 0)
    micro(lambda content, calls: [[x[..., ::-1] for x in outputs] for outputs in litert(content, calls)])
    report = tflite_export.check_micro(path)
    assert report.ran
    assert report.max_difference > 0
    assert report.problems[0].startswith("its outputs are not LiteRT's: the error is ")
    assert "problem" in str(report)


def test_nan_is_a_problem(tflite_files, micro):
    micro(lambda content, calls: [[x * np.nan for x in outputs] for outputs in litert(content, calls)])
    assert tflite_export.check_micro(files_of(tflite_files)["float32"]).problems


@pytest.mark.skipif(importlib.util.find_spec("ai_edge_quantizer") is None, reason="pip install litert-quantizer")
@pytest.mark.parametrize("layer", [layers.Conv2D(8, 3), layers.DepthwiseConv2D(3), layers.Dense(5)])
def test_weights_with_scales_per_channel_that_are_dequantized(tmp_path, layer):
    from ai_edge_quantizer import qtyping, quantizer

    model = keras.Sequential([keras.Input((6, 6, 2)), layer])
    tflite_export.export(model, tmp_path / "float.tflite", verify=False)
    (name,) = set(tflite_export.inspect(tmp_path / "float.tflite").operators) & {
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
    }
    operation = qtyping.TFLOperationName[name]
    for granularity in (qtyping.QuantGranularity.CHANNELWISE, qtyping.QuantGranularity.TENSORWISE):
        converter = quantizer.Quantizer(str(tmp_path / "float.tflite"))
        converter.add_weight_only_config(regex=".*", operation_name=operation, num_bits=8, granularity=granularity)
        path = tmp_path / f"{granularity.name}.tflite"
        path.write_bytes(converter.quantize(enable_progress_report=False).quantized_model)
        problems = [line for line in tflite_export.check_micro(path).problems if "DEQUANTIZE knows one scale" in line]
        assert bool(problems) is (granularity is qtyping.QuantGranularity.CHANNELWISE)


def test_files_that_litert_cannot_run(tmp_path, micro):
    """What needs no run works; `check_micro` says what LiteRT refuses, and compares with nothing."""
    model = keras.Sequential([keras.Input((4, 4, 2), name="image"), layers.Resizing(8, 8, interpolation="lanczos5")])
    path = tmp_path / "model.tflite"
    tflite_export.export(model, path, allow=("custom",), verify=False)
    assert tflite_export.inspect(path).bytes == tflite_export.pack(path).bytes == path.stat().st_size
    assert tflite_export.to_c_array(path, tmp_path / "model.cc").bytes == path.stat().st_size
    report = tflite_export.check_micro(path)
    assert report.problems == ("it lacks the operators CUSTOM ScaleAndTranslate",)
    assert "LiteRT must be able to run the file" in report.refused
    with pytest.raises(ValueError, match=r"'image' must have shape \(samples, 4, 4, 2\)"):
        tflite_export.check_micro(path, np.zeros((1, 5, 4, 2)))
    micro(lambda content, calls: [[np.repeat(np.repeat(x, 2, 1), 2, 2) for x in call] for call in calls])
    report = tflite_export.check_micro(path, np.zeros((3, 4, 4, 2)))
    assert (report.ran, report.samples, report.max_difference) == (True, 3, None)
    assert "not compared" in str(report)


@pytest.mark.parametrize("kind", made.KINDS)
def test_ports_are_what_the_interpreter_says(tflite_files, kind):
    content = tflite_files[1][kind].read_bytes()
    runner, ports = Runner(content), Ports.of(flatbuffer.read(content))
    assert ports.names() == runner.names()
    assert ports.batch == runner.batch
    for mine, theirs in zip(ports.synthetic_inputs(3), runner.synthetic_inputs(3), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    outputs = runner.call(runner.zeros())
    np.testing.assert_array_equal(ports.real(outputs)[0], runner.real(outputs)[0])


def test_relative_error():
    x = np.array([0.0, 2.0, 4.0])
    assert relative_error(x, x) == 0
    assert relative_error(np.full(3, 2.0), x) == pytest.approx(1)
    assert relative_error(x + x.std(), x) == pytest.approx(1)
    assert relative_error(x * np.nan, x) == np.inf
    assert relative_error(np.full(3, 1.1), np.ones(3)) == pytest.approx(0.1)  # a constant: of its size
    assert relative_error(np.ones(3), np.zeros(3)) == 1
    assert relative_error(np.zeros(0), np.zeros(0)) == 0
