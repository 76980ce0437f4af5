"""What a command imports before it does anything, and what the libraries under it print."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from support import cli_files
from support.zoo import BACKEND

from keras_prune.cli.program import parser
from tflite_export.noise import is_noise

# No backend is installed, nor Keras, nor the interpreter of LiteRT.
FORBIDDEN = ("keras", "tensorflow", "jax", "torch", "ai_edge_litert.interpreter", "ai_edge_litert._pywrap")
FORBID = f"""
import contextlib, io, json, sys

class Forbid:
    def find_spec(self, name, path, target=None):
        if name.startswith({FORBIDDEN}) and not name.startswith("keras_prune"):
            raise ImportError("forbidden: " + name)

sys.meta_path.insert(0, Forbid())
from keras_prune.cli import main
answers = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(words)
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps([answers, sorted(name for name in sys.modules if name.startswith({FORBIDDEN}))]))
"""


def environment(**variables):
    left_out = ("TF_CPP_MIN_LOG_LEVEL", "NO_COLOR")
    kept = {key: value for key, value in os.environ.items() if key not in left_out}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **variables}


def python(*words, **options):
    options = {"env": environment(), "capture_output": True, "text": True, **options}
    return subprocess.run([sys.executable, *words], **options)


def without_keras(*lines, cwd):
    """Runs command lines where Keras cannot be imported; returns exit code, output and errors of each."""
    done = python("-c", FORBID, json.dumps(lines), cwd=cwd, env=environment(KERAS_BACKEND="nonsense"))
    assert done.returncode == 0, done.stderr
    answers, imported = json.loads(done.stdout)
    assert [name for name in imported if not name.startswith("keras_prune")] == []
    return answers


def commands(top=None, before=()):
    """The words of each command."""
    for action in (top or parser())._actions:
        for name, inner in (getattr(action, "choices", None) or {}).items() if action.nargs == "A..." else ():
            yield [*before, name]
            yield from commands(inner, (*before, name))


pytestmark = pytest.mark.core


def test_help_needs_no_keras(tmp_path):
    lines = [["--help"], ["--version"], *([*words, "--help"] for words in commands())]
    assert len(lines) > 15
    for words, (code, out, err) in zip(lines, without_keras(*lines, cwd=tmp_path), strict=True):
        assert (code, err) == (0, ""), words
        assert out.startswith("usage: keras-prune" if "--help" in words else "keras-prune ")


def test_mistakes_are_found_without_keras(tmp_path):
    for name in ("model.keras", "data.npz", "model.tflite"):
        (tmp_path / name).write_bytes(b"noise")
    expected = {
        "": "The following arguments are required: COMMAND",
        "summaryx model.keras": "Did you mean summary?",
        "prune channelz model.keras": "Did you mean channels?",
        "summary model.keras --jsn": "Unrecognized arguments: --jsn. Did you mean --json?",
        "export model.keras -o a.tflite --quantise=int8": "Did you mean --quantize?",
        "export model.keras -o a.tflite --quantize=int9": "Did you mean int8?",
        "autoprune model.keras -o found": "The following arguments are required: --data",
        "summary missing.keras": "There is no such file. Received: 'missing.keras'",
        "summary model.tflite": "A Keras model is a file that ends in .keras",
        "compare model.tflite missing.tflite": "There is no such file. Received: 'missing.tflite'",
        "compare model.keras model.keras": "Each file is compared once",
        "prune weights model.keras -o a.keras --sparsity 0.5 --data missing.npz": "Received: 'missing.npz'",
        "prune weights model.keras -o a.keras --sparsity 0.5 --importance=l3": "must be one of",
        "prune weights model.keras -o a.keras --sparsity 0.5 --selection=4:2": "Received: ",
        "prune channels model.keras -o a.keras --plan missing.json": "Received: 'missing.json'",
        "prune channels model.keras -o a.keras --ratio=0.5 --recalibrate": "--recalibrate needs --data",
        "prune channels model.keras -o a.keras --ratio=0.5 --compensate": "--compensate needs --data",
        "prune layers model.keras -o a.keras --ratio=0.5 --compensate": "--compensate needs --data",
        "prune layers model.keras -o a.keras --ratio=0.5 --compensate no.npz": "Received: 'no.npz'",
        "prune channels model.keras -o model.keras --ratio=0.5": "pass --overwrite to replace it",
        "sensitivity model.keras --data data.npz --max-drop=-1": "at least 0",
        "autoprune model.keras -o found --data data.npz --validation-data no.npz": "Received: 'no.npz'",
        "export model.keras -o a.tflite --representative-data no.npz": "Received: 'no.npz'",
        "inspect missing.tflite": "There is no such file",
        "inspect model.tflite --html - --json": "Standard output takes one",
        "benchmark model.tflite missing.tflite": "Received: 'missing.tflite'",
        "micro missing.tflite": "There is no such file",
        "micro model.tflite": "Received: ",
        "c-array model.tflite -o -": "must name a file",
    }
    found = without_keras(*(line.split() for line in expected), cwd=tmp_path)
    for (line, why), (code, _, err) in zip(expected.items(), found, strict=True):
        assert code == 2, line
        assert why in err, line
        assert "Received: " in err
        assert err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "data.npz", "model.tflite"}


def test_files_are_read_and_run_without_keras(tflite_files, tmp_path):
    (tmp_path / "int8.tflite").write_bytes(tflite_files[1]["int8"].read_bytes())
    lines = [
        ["inspect", "int8.tflite", "--fast"],
        ["benchmark", "int8.tflite", "--runs=5"],
        ["micro", "int8.tflite"],
        ["c-array", "int8.tflite", "-o", "model_data.cc"],
    ]
    for words, (code, out, err) in zip(lines, without_keras(*lines, cwd=tmp_path), strict=True):
        assert (code, err) == (0, ""), words
        assert "model_data" in out if words[0] == "c-array" else "int8.tflite" in out


@pytest.mark.parametrize(
    ("backend", "code", "why"), [("nonsense", 2, "Unable to import backend"), ("broken", 1, "no such library")]
)
def test_a_backend_that_cannot_be_imported(tmp_path, backend, code, why):
    cli_files.residual().save(tmp_path / "model.keras")
    variables = {"KERAS_BACKEND": backend}
    if backend == "broken":
        (tmp_path / "torch.py").write_text("raise ImportError('no such library')")
        path = os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)])
        variables = {"KERAS_BACKEND": "torch", "PYTHONPATH": path}
    done = python("-m", "keras_prune", "summary", "model.keras", cwd=tmp_path, env=environment(**variables))
    assert (done.returncode, done.stdout) == (code, "")
    assert "Keras cannot be imported (" in done.stderr
    assert why in done.stderr
    assert "Set the environment variable KERAS_BACKEND" in done.stderr
    assert done.stderr.endswith(f"Received: {variables['KERAS_BACKEND']}\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow logs")
def test_nothing_is_logged_whatever_the_level_is(tflite_files, tmp_path):
    model, paths = tflite_files
    model.save(tmp_path / "model.keras")
    words = ["compare", "model.keras", str(paths["float32"]), "--no-latency", "--data", "data.npz"]
    np.savez(tmp_path / "data.npz", x=np.zeros((4, *model.input_shape[1:])), y=np.zeros(4))
    done = python("-m", "keras_prune", *words, cwd=tmp_path, env=environment(TF_CPP_MIN_LOG_LEVEL="0"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "model.keras" in done.stdout


LOGS = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795946300.963154   10334 port.cc:153] oneDNN custom operations are on.",
    "W0000 00:00:1795946300.963154   10334 gpu_device.cc:2341] Cannot dlopen some GPU libraries.",
    "2026-11-29 09:57:03.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.",
    "2026-11-29 09:57:03.1: E external/local_xla/cuda_platform.cc:51] failed call to cuInit: INTERNAL: (303)",
    "E0000 00:00:1731.1   1 cuda_dnn.cc:8310] Unable to register cuDNN factory: one has already been registered",
    "E0000 00:00:1795946300.9   1 cuda_executor.cc:1228] INTERNAL: failed call to cuInit: UNKNOWN ERROR (303)",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow",
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
]
WORDS = [
    "keras-prune: error: There is no such file. Received: 'I0000'",
    "E0000 00:00:1795946300.9   1 bfc_allocator.cc:482] out of memory",
    "F0000 00:00:1795946300.9   1 logging.cc:1] Check failed: false",
    "2026-11-29 09:57:03.1: F tensorflow/core/platform/logging.cc:1] Check failed",
    "Traceback (most recent call last):",
    "Fatal Python error: Segmentation fault",
    "Epoch 1/2",
    "",
]


def test_what_is_noise():
    assert [line for line in LOGS if not is_noise(line)] == []
    assert [line for line in WORDS if is_noise(line) or is_noise(line.encode())] == []


@pytest.mark.parametrize("end", ["", "os.abort()", "raise SystemExit(3)"])
def test_only_noise_is_filtered_also_if_the_program_crashes(tmp_path, end):
    """What native code writes is `os.write` here."""
    code = f"""
import os, sys
from keras_prune.cli.quiet import without_noise
with without_noise():
    os.write(2, {"".join(f"{line}{os.linesep}" for line in [*LOGS, *WORDS, "the end"]).encode()!r})
    print("a user's line", file=sys.stderr)
    {end}
os.write(2, b"INFO: afterwards\\n")
"""
    with open(tmp_path / "errors", "w") as errors:
        done = python("-c", code, capture_output=False, stderr=errors)
    lines = []
    while "the end" not in lines:  # the filter outlives a crash by a moment
        lines = (tmp_path / "errors").read_text().splitlines()
    if "abort" in end:
        assert done.returncode == -signal.SIGABRT
        lines = [line for line in lines if line in (*LOGS, *WORDS, "the end", "a user's line")]
    else:
        assert done.returncode == (3 if end else 0)
    expected = [*WORDS, "the end", "a user's line", *([] if end else ["INFO: afterwards"])]
    assert sorted(lines) == sorted(expected)


@pytest.mark.parametrize("words", [["--help"], ["inspect", "model.tflite"], ["summary"]])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_seen_enough(tmp_path, words, stream):
    (tmp_path / "model.tflite").write_bytes(b"noise")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    line = [sys.executable, "-m", "keras_prune", *words]
    with subprocess.Popen(line, cwd=tmp_path, env=environment(), text=True, **pipes) as process:
        getattr(process, stream).close()
        other = process.stderr if stream == "stdout" else process.stdout
        said = other.read()
        code = process.wait()
    assert code == (0 if words == ["--help"] else 2)
    assert "Traceback" not in said
    assert "Exception ignored" not in said


def test_ctrl_c_is_one_line_and_code_130(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"noise")
    code = (
        "import os, signal, sys, tflite_export; from keras_prune.cli import main;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # a job in the background ignores it
        "tflite_export.inspect = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT);"
        "sys.exit(main(['inspect', 'model.tflite']))"
    )
    done = python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "keras-prune: error: Interrupted.\n")
