"""Files on microcontrollers: C arrays that compilers read, resolvers, and TensorFlow Lite Micro itself."""

import importlib.util
import pathlib
import re
import shutil
import subprocess

import keras
import pytest
from support import tflite_files as made

import tflite_export
from tflite_export.micro import check, operators
from tflite_export.packaging import c_array

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "guides" / "microcontrollers.md"
compiled = pytest.mark.skipif(not (shutil.which("g++") and shutil.which("gcc")), reason="g++ and gcc are not there")
packaged = importlib.util.find_spec("tflite_micro") is not None


def compile_and_run(folder, *command):
    subprocess.run([*command, "-Wall", "-Wextra", "-Werror", "-pedantic", "-o", "program"], cwd=folder, check=True)
    return subprocess.run([folder / "program"], capture_output=True, check=True).stdout


@compiled
def test_the_program_of_the_page_compiles(tflite_files, tmp_path):
    path = tflite_files[1]["int8"]
    (program,) = re.findall(r"```cpp\n(.*?)```", PAGE.read_text(), re.S)
    (tmp_path / "main.cc").write_text(program)
    array = tflite_export.to_c_array(path, tmp_path / "model_data.cc")
    assert (array.name, array.bytes) == ("model_data", path.stat().st_size)
    output = compile_and_run(tmp_path, "g++", "-std=c++11", "main.cc", "model_data.cc")
    assert output.decode() == f"{path.stat().st_size} bytes\n"


@compiled
@pytest.mark.parametrize("compiler", ["gcc -std=c11", "g++ -std=c++20"])
def test_arrays_hold_the_file(tflite_files, tmp_path, compiler):
    path = tflite_files[1]["int8"]
    array = tflite_export.to_c_array(path, tmp_path / "data.c", "g_model")
    assert array.header == tmp_path / "data.h"
    assert array.source == tmp_path / "data.c"
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "data.h"\n#include "data.h"\n'
        "int main(void) { fwrite(g_model, 1, g_model_len, stdout); return 0; }\n"
    )
    assert compile_and_run(tmp_path, *compiler.split(), "main.c", "data.c") == path.read_bytes()


def test_names_of_arrays(tflite_files, tmp_path):
    path = tflite_files[1]["int8"]
    assert tflite_export.to_c_array(path, tmp_path / "1-net.v2.cc").name == "model_1_net_v2"
    assert tflite_export.to_c_array(path, tmp_path / "class.cc").name == "model_class"
    for name in ("", "1a", "a b", "int", "_a", "é", 3):
        with pytest.raises(ValueError, match=r"`name` must be a name in C that begins with a letter. Received: "):
            tflite_export.to_c_array(path, tmp_path / "other.cc", name)
    assert not (tmp_path / "other.h").exists()


def test_what_stands_there_stays(tflite_files, tmp_path):
    path = tflite_files[1]["int8"]
    (tmp_path / "data.h").write_text("mine")
    with pytest.raises(ValueError, match=r"must not exist, unless overwrite=True. Received: '.*data.h'"):
        tflite_export.to_c_array(path, tmp_path / "data.cc")
    assert not (tmp_path / "data.cc").exists()
    tflite_export.to_c_array(path, tmp_path / "data.cc", overwrite=True)
    assert "extern const unsigned char data[" in (tmp_path / "data.h").read_text()
    with pytest.raises(ValueError, match=r"must end in .c or .cc or .cpp. Received: 'data.txt'"):
        tflite_export.to_c_array(path, "data.txt")
    (tmp_path / "noise.tflite").write_bytes(b"noise")
    with pytest.raises(ValueError, match=r"Received: 5 bytes"):
        tflite_export.to_c_array(tmp_path / "noise.tflite", tmp_path / "noise.cc")
    assert not list(tmp_path.glob("noise.[ch]*"))


@pytest.mark.parametrize("late", ["data.h", "data.cc"])
def test_a_file_that_appears_meanwhile_is_kept(tflite_files, tmp_path, monkeypatch, late):
    monkeypatch.setattr(c_array, "_header", lambda *_: (tmp_path / late).write_text("mine") and "new")
    with pytest.raises(ValueError, match=rf"A file has appeared .* Received: '.*{late}'"):
        tflite_export.to_c_array(tflite_files[1]["int8"], tmp_path / "data.cc")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {late: "mine"}


# What the methods are called in TensorFlow Lite Micro's header; those whose names one would not guess.
@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("L2_POOL_2D", "AddL2Pool2D"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("CUMSUM", "AddCumSum"),
        ("PADV2", "AddPadV2"),
        ("SPLIT_V", "AddSplitV"),
        ("RELU6", "AddRelu6"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
        ("CUSTOM SignalRfft", "AddRfft"),
        ("CUSTOM ethos-u", "AddEthosU"),
        ("GELU", None),
        ("DENSIFY", None),
        ("CUSTOM FlexErf", None),
        ("CUSTOM Rfft", None),
        ("Rfft", None),
    ],
)
def test_methods_of_the_resolver(operator, method):
    assert operators.method(operator) == method


# Enough of TensorFlow Lite Micro for a resolver to compile.
STUB = """
#define TF_LITE_ENSURE_STATUS(a) do { const TfLiteStatus s = (a); if (s != kTfLiteOk) return s; } while (0)
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
namespace tflite {
template <unsigned int size>
struct MicroMutableOpResolver {
  unsigned int count = 0;
  TfLiteStatus add() { return count++ < size ? kTfLiteOk : kTfLiteError; }
  TfLiteStatus AddConv2D() { return add(); }
  TfLiteStatus AddDepthwiseConv2D() { return add(); }
  TfLiteStatus AddFullyConnected() { return add(); }
  TfLiteStatus AddReshape() { return add(); }
  TfLiteStatus AddSoftmax() { return add(); }
};
}
"""


@compiled
def test_the_resolver_compiles_and_is_large_enough(tflite_files, tmp_path):
    folder = tmp_path / "tensorflow" / "lite" / "micro"
    folder.mkdir(parents=True)
    (folder / "micro_mutable_op_resolver.h").write_text(STUB)
    code = tflite_export.micro_resolver(tflite_files[1]["int8"])
    check = "int main() { ModelOpResolver r; return RegisterOps(r) == kTfLiteOk && r.count == 5 ? 0 : 1; }\n"
    (tmp_path / "main.cc").write_text(code + check)
    compile_and_run(tmp_path, "g++", "-I.", "main.cc")


def test_the_resolver_names_what_is_lacking(tflite_files):
    with pytest.raises(ValueError, match=r"must have all operators of the file. Received: '.*' with DENSIFY"):
        tflite_export.micro_resolver(tflite_files[1]["sparse"])


@pytest.mark.parametrize(
    "installed",
    [
        False,
        pytest.param(True, marks=pytest.mark.skipif(not packaged, reason="pip install --pre tflite-micro")),
    ],
)
@pytest.mark.parametrize(
    ("kind", "problems"),
    [
        ("float16", ["it does not read float16 weights"]),
        ("dynamic", ["it has no floating-point FULLY_CONNECTED with int8 weights (dynamic range)"]),
        ("sparse", ["it lacks the operators DENSIFY", "(sparse storage)"]),
    ],
)
def test_what_tensorflow_lite_micro_refuses(tflite_files, monkeypatch, kind, problems, installed):
    if not installed:
        monkeypatch.setattr(check.importlib.util, "find_spec", lambda name: None if name == "tflite_micro" else name)
    report = tflite_export.check_micro(tflite_files[1][kind])
    assert len(report.problems) == len(problems)
    for found, part in zip(report.problems, problems, strict=True):
        assert part in found
        assert part in " ".join(str(report).split())  # it may be folded
    assert (report.ran, report.arena_bytes, report.max_difference) == (False, None, None)


@pytest.mark.skipif(packaged, reason="tflite-micro is there")
def test_without_the_package_nothing_is_claimed(tflite_files):
    report = tflite_export.check_micro(tflite_files[1]["int8"])
    assert (report.problems, report.ran, report.arena_bytes) == ((), False, None)
    assert "pip install --pre tflite-micro" in str(report)


@pytest.mark.skipif(not packaged, reason="pip install --pre tflite-micro")
@pytest.mark.parametrize(("kind", "allowed"), [("float32", 1e-5), ("int8", 0.02), ("int16x8", 1e-3)])
def test_tensorflow_lite_micro_runs_files(tflite_files, kind, allowed):
    report = tflite_export.check_micro(tflite_files[1][kind], made.images(5))
    assert (report.problems, report.ran, report.samples) == ((), True, 5)
    assert report.max_difference <= allowed
    assert 1000 < report.arena_bytes < 20_000
    assert f"{report.arena_bytes:,} bytes" in str(report)
