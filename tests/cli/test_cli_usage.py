"""What holds for every command: outputs, errors, exit codes, JSON, what is printed on the way."""

import dataclasses
import math
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from support import cli_files

import keras_prune as kp
from keras_prune.cli.export import classes
from keras_prune.cli.results import Result, plain

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return cli_files.write(tmp_path_factory.mktemp("files"))


@pytest.fixture
def folder(files, tmp_path, monkeypatch):
    """The current folder, with a few files."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    return cli_files.runner(capsys)


def zeros(path):
    return kp.summary(keras.saving.load_model(path)).prunable_zeros


def test_files_are_replaced_only_when_told(folder, run):
    words = ("prune", "weights", "model.keras", "-o", "sparse.keras", "--sparsity")
    assert run(*words, 0.5)[0] == 0
    before = (folder / "sparse.keras").read_bytes()
    code, out, err = run(*words, 0.75)
    assert (code, out) == (2, "")
    assert err == "keras-prune: error: The output exists: pass --overwrite to replace it. Received: 'sparse.keras'\n"
    assert (folder / "sparse.keras").read_bytes() == before
    assert run(*words, 0.75, "--overwrite")[0] == 0
    assert zeros("sparse.keras") > 0.7 * kp.summary(keras.saving.load_model("sparse.keras")).prunable
    assert not [name for name in os.listdir() if name.startswith(".")]  # nothing half-written


@pytest.mark.parametrize("late", ["small.keras", "plan.json"])
def test_an_output_that_appears_meanwhile_is_kept_and_none_is_written(folder, run, monkeypatch, late):
    before = set(os.listdir())
    save = kp.channels.ChannelPlan.save
    monkeypatch.setattr(
        kp.channels.ChannelPlan, "save", lambda *words: (folder / late).write_text("mine") and save(*words)
    )
    words = ("prune", "channels", "model.keras", "-o", "small.keras", "--ratio", "0.25", "--save-plan", "plan.json")
    code, _, err = run(*words)
    assert code == 2
    assert err.endswith(f"The output exists: pass --overwrite to replace it. Received: '{late}'\n")
    assert (folder / late).read_text() == "mine"
    assert set(os.listdir()) == before | {late}
    assert run(*words, "--overwrite")[0] == 0
    assert kp.channels.ChannelPlan.load("plan.json").removed


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("out.h5", "must be a file that ends in .keras"),
        (".keras", "must be a file that ends in .keras"),
        ("missing/out.keras", "a folder that exists"),
        ("model.keras/out.keras", "a folder that exists"),
        ("folder.keras", "not a folder"),
    ],
)
def test_outputs_are_checked_before_the_work(folder, run, monkeypatch, output, why):
    (folder / "folder.keras").mkdir()
    monkeypatch.setattr(keras.saving, "load_model", None)  # would fail if it came to that
    code, out, err = run("strip", "model.keras", "-o", output, "--overwrite")
    assert (code, out) == (2, "")
    assert why in err
    assert err.count("\n") == 1


def test_a_folder_that_cannot_be_written(folder, run, monkeypatch):
    def touch(path, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", touch)
    code, _, err = run("strip", "model.keras", "-o", "out.keras")
    assert code == 2
    assert "can be written (Permission denied). Received: 'out.keras'" in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "The following arguments are required: COMMAND"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["summary"], "The following arguments are required: model"),
        (["summary", "model.keras", "--js"], "Unrecognized arguments: --js"),
        (["prune", "channels", "model.keras", "-o", "a.keras", "--ratio", "1.5"], "must be a number in [0, 1)"),
        (["prune", "channels", "model.keras", "-o", "a.keras", "--ratio", "nan"], "must be a number in [0, 1)"),
        (["prune", "channels", "model.keras", "-o", "a.keras"], "`--threshold` or `--ratios`"),
        (["prune", "channels", "model.keras", "-o", "a.keras", "--budget-macs", "2.5"], "a fraction in (0, 1), or"),
        (["prune", "channels", "model.keras", "-o", "a.keras", "--ratios", "conv1"], "must be PATTERN=VALUE"),
        (["prune", "channels", "model.keras", "-o", "a.keras", "--plan", "plan.json"], "There is no such file"),
        (["prune", "channels", "model.keras", "-o", "a.keras", "--ratio=0.5", "--recalibrate"], "needs --data"),
        (["prune", "channels", "model.keras", "-o", "a.keras", "--ratio=0.5", "--compensate"], "needs --data"),
        (["prune", "weights", "model.keras", "-o", "a.keras", "--selection", "some"], "percentile, global, N:M"),
        (["prune", "weights", "model.keras", "-o", "a.keras", "--selection", "4:2"], "Received: "),
        (["prune", "channels", "model.keras", "-o", "a.keras", "--threshold", "std=1"], "relative=F or mean=K"),
        (["prune", "layers", "model.keras", "-o", "a.keras", "--threshold=-1"], "relative=F or mean=K. Received: "),
        (["prune", "weights", "model.keras", "-o", "a.keras", "--targets", "erk", "--targets", "a=0"], "one word"),
        (["prune", "weights", "model.keras", "-o", "a.keras", "--sparsity=0.5", "--importance=x"], "one of"),
        (["prune", "weights", "model.keras", "-o", "a.keras", "--sparsity=0.5", "--samples=-1"], "whole number"),
        (["export", "model.keras", "-o", "a.tflite", "--quantize=int8"], "as `--representative-data`. Received: "),
        (["benchmark", "model.tflite", "--runs", "0"], "a whole number of at least 1"),
        (["compare", "model.keras", "model.keras"], "Each file is compared once"),
        (["compare", "model.keras", "--data", "test.npz", "--metrics", "nonsense"], "known to Keras"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line_and_code_2(folder, run, words, why):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert why in err
    assert err.startswith("keras-prune: error: ")
    assert "Received: " in err
    assert err.count("\n") == 1
    assert not (folder / "a.keras").exists()


def test_errors_as_json(folder, run):
    code, out, err = run("summary", "missing.keras", "--json")
    found = cli_files.strict_json(out)
    assert code == 2
    assert (found["command"], found["ok"]) == ("summary", False)
    assert err == f"keras-prune: error: {found['error']}\n"
    assert cli_files.strict_json(run("summary", "--json")[1])["command"] is None


def test_failures_are_code_1_and_show_where_only_if_asked(folder, run, monkeypatch):
    def fail(model):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr("keras_prune.insight.summary.summary", fail)
    line = "keras-prune: error: RuntimeError: out of memory. Received: keras-prune summary model.keras"
    assert run("summary", "model.keras") == (1, "", f"{line}\n")
    code, _, err = run("summary", "model.keras", "--traceback")
    assert code == 1
    assert err.startswith("Traceback")

    def interrupt(model):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_prune.insight.summary.summary", interrupt)
    assert run("summary", "model.keras") == (130, "", "keras-prune: error: Interrupted.\n")


def test_what_is_printed_on_the_way_is_not_in_the_output(folder, run, monkeypatch):
    summary = kp.summary  # before it is replaced: lazy_loader may look it up again

    def talk(model):
        print("working")
        return summary(model)

    monkeypatch.setattr("keras_prune.insight.summary.summary", talk)
    code, out, err = run("summary", "model.keras", "--json")
    assert (code, err) == (0, "working\n")
    assert cli_files.strict_json(out)["report"]["model"] == "cnn"


def test_an_answer_of_no_is_code_1(folder, run, monkeypatch):
    monkeypatch.setattr("keras_prune.cli.summary.run", lambda args: Result("no", ok=False))
    assert run("summary", "model.keras") == (1, "no\n", "")


def test_names_in_files_are_no_codes_for_the_terminal(folder, run):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="a\x1b[31mred")]).save("evil.keras")
    code, out, _ = run("summary", "evil.keras")
    assert code == 0
    assert "\x1b" not in out
    assert "red" in out


def test_plain_values():
    @dataclasses.dataclass(frozen=True)
    class Inner:
        size: int
        rows: tuple[float, ...]

        @property
        def twice(self):
            return 2 * self.size

        @property
        def model(self):
            return object()

    @dataclasses.dataclass(frozen=True)
    class Outer:
        inner: Inner
        model: keras.Model
        array: np.ndarray

    value = Outer(Inner(3, (math.nan, 0.5)), cli_files.residual(), np.arange(3))
    assert plain(value) == {"inner": {"size": 3, "rows": [None, 0.5], "twice": 6}, "array": [0, 1, 2]}
    assert plain({1: np.float32(0.5), "b": None}) == {"1": 0.5, "b": None}
    with pytest.raises(TypeError, match="JSON has no form"):
        plain(object())


def test_a_file_that_is_not_what_the_model_is_fails(folder, run, monkeypatch):
    tflite_export = pytest.importorskip("tflite_export")

    def export(*args, **kwargs):
        raise tflite_export.ExportError("The file differs by 3.")

    monkeypatch.setattr(tflite_export, "export", export)
    code, out, err = run("export", "model.keras", "-o", "model.tflite")
    assert (code, out) == (1, "")
    assert err == (
        "keras-prune: error: ExportError: The file differs by 3. "
        "Received: keras-prune export model.keras -o model.tflite\n"
    )


def test_export_has_the_options_of_python(folder, run, monkeypatch):
    tflite_export, asked = pytest.importorskip("tflite_export"), {}

    def export(model, path, **options):
        asked.update(options)
        raise tflite_export.ExportError("Enough.")

    monkeypatch.setattr(tflite_export, "export", export)
    line = ("export", "model.keras", "-o", "model.tflite", "--quantize=int4", "--allow=flex", "--allow=custom")
    assert run(*line, "--no-verify", "--batch-size=free", "--signature=x=4,3:int32")[0] == 1
    spec = asked["signature"]["x"]
    assert (spec.shape, spec.dtype) == ((None, 4, 3), "int32")
    assert (asked["quantize"], asked["allow"], asked["verify"]) == ("int4", ("flex", "custom"), False)
    assert asked["batch_size"] is None
    run("export", "model.keras", "-o", "model.tflite", "--batch-size=3", "--signature=4")
    assert (asked["signature"].shape, asked["batch_size"], asked["verify"]) == ((3, 4), 3, True)
    run("export", "model.keras", "-o", "model.tflite")
    assert (asked["signature"], asked["batch_size"], asked["allow"]) == (None, 1, ())
    assert run("export", "model.keras", "-o", "model.tflite", "--signature=4,x")[0] == 2


@pytest.mark.parametrize(
    ("targets", "shape", "expected"),
    [
        (np.array([0, 3]), (None, 4), True),
        (np.array([[0], [3]], "uint8"), (None, 4), True),
        (np.eye(4, dtype="float32"), (None, 4), True),
        (np.array([0.0, 1.0]), (None, 1), True),
        (np.array([0, 4]), (None, 4), False),
        (np.array([0.5, 1.0]), (None, 1), False),
        (np.ones((3, 4)), (None, 4), False),
        (np.array([0, 1]), (None, 5, 4), False),
        (np.array([0, 1]), [(None, 4), (None, 4)], False),
        ({"a": np.array([0])}, (None, 4), False),
        (None, (None, 4), False),
    ],
)
def test_which_targets_are_classes(targets, shape, expected):
    assert (classes(targets, shape) is not None) is expected


def test_version(run):
    code, out, err = run("--version")
    assert (code, err) == (0, "")
    ours, others = out.splitlines()
    assert ours == f"keras-prune {kp.__version__}"
    assert f"keras {keras.__version__}" in others.split(", ")
    assert f"numpy {np.__version__}" in others.split(", ")


def test_the_package_does_not_look_at_the_arguments_of_the_process():
    """Only the command line quietens TensorFlow: a program that is called alike keeps its logs."""
    code = (
        "import os, sys; sys.argv[:] = sys.orig_argv[:] = ['keras-prune', 'summary'];"
        "import keras_prune; keras_prune.summary; print(os.environ.get('TF_CPP_MIN_LOG_LEVEL'))"
    )
    env = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() != "2"
