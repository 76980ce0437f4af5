"""`sensitivity` and `autoprune` on the command line."""

import shutil

import keras
import numpy as np
import pytest
from support import cli_files
from support.autoprune_runs import quick as quick_files  # noqa: F401  # a fixture

import keras_prune as kp
from keras_prune.cli import main
from keras_prune.cli.data import Data, load_data
from keras_prune.cli.results import plain


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    path = tmp_path_factory.mktemp("files")
    cli_files.cnn().save(path / "model.keras")
    cli_files.write_data(path)
    return path


@pytest.fixture
def run(files, tmp_path, monkeypatch, capsys):
    """Runs a command line in a folder of its own with `--json`; returns exit code, JSON and standard error."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def command(*words):
        code = main([*map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, cli_files.strict_json(out), err

    return command


@pytest.mark.core
@pytest.mark.parametrize(
    ("kind", "options"), [("weights", []), ("channels", ["--layers", "conv*", "--metric=loss", "--cache=scan.json"])]
)
def test_sensitivity(run, kind, options):
    words = ["sensitivity", "model.keras", "--data=train.npz", "--ratios", "0.9", "0.5", f"--kind={kind}"]
    code, found, err = run(*words, *options, "--max-drop=0.1")
    assert code == 0, err
    model = keras.saving.load_model("model.keras")
    metric, layers = ("loss", "conv*") if options else (None, None)
    data = load_data("train.npz", model).pair
    expected = kp.sensitivity(model, data, kind=kind, ratios=(0.5, 0.9), metric=metric, layers=layers)
    assert found["report"] == {**plain(expected), "highest": expected.highest(0.1)}


@pytest.mark.core
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--metric=nonsense"], "compiled without this metric; it has ['accuracy', 'loss']"),
        (["--ratios", "0.5", "1.5"], "a number in (0, 1)"),
        (["--layers", "conv9"], "Did you mean"),
        (["--max-drop=-1"], "at least 0"),
        (["--cache=missing/scan.json"], "missing/scan.json"),
        (["--y-key=labels"], "need the key 'labels'"),
    ],
)
def test_a_scan_that_cannot_be_made(run, options, why):
    code, found, err = run("sensitivity", "model.keras", "--data=train.npz", *options)
    assert code == 2
    assert why in found["error"]
    assert "Received: " in found["error"]
    assert err.splitlines()[-1] == f"keras-prune: error: {found['error']}"


@pytest.mark.core
def test_samples_that_are_held_out():
    x, y = cli_files.images(50, 1)
    train, validation = Data(x, y).parts(0.2)
    assert (len(train.x), len(validation.x)) == (40, 10)
    both = np.concatenate([train.x, validation.x])
    assert {row.tobytes() for row in both} == {row.tobytes() for row in x}
    places = [int(np.flatnonzero((x == row).all(axis=(1, 2, 3)))[0]) for row in validation.x]
    np.testing.assert_array_equal(validation.y, y[places])


WORDS = ("autoprune", "model.keras", "--data=train.npz", "--fine-tune-epochs=0", "--quantize=none")


@pytest.mark.core
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["-o", "model.keras"], "must be a folder"),
        (["-o", "model.keras/found"], "Received: "),
        (["-o", "."], "a new or empty folder"),
        (["-o", "found", "--time-limit=0"], "a number above 0"),
        (["-o", "found", "--metric=nonsense"], "compiled without this metric"),
        (["-o", "found", "--max-drop=-1"], "at least 0"),
        (["-o", "found", "--step=0"], "must be a number in (0, 1)"),
        (["-o", "found", "--step=1"], "must be a number in (0, 1)"),
        (["-o", "found", "--methods", "layers"], "invalid choice"),
        (["-o", "found", "--validation-data=missing.npz"], "There is no such file"),
    ],
)
def test_a_search_that_cannot_be_made(run, options, why):
    code, found, _ = run(*WORDS, *options)
    assert code == 2
    assert why in found["error"]
    assert "Received: " in found["error"]


@pytest.mark.core
@pytest.mark.usefixtures("quick_files")
def test_a_search_whose_goal_is_not_met_is_code_1_and_goes_on(run, tmp_path):
    words = [*WORDS, "-o", "found", "--methods=weights", "--metric=loss"]
    code, found, err = run(*words, "--max-drop=0", "--budget-params=20", "--time-limit=0.01")
    assert (code, found["ok"]) == (2, False)  # there was time for the unpruned model only
    assert "too short for a first candidate" in found["error"]
    assert (tmp_path / "found" / "dense.tflite").is_file()
    code, found, err = run(*words, "--max-drop=0", "--budget-params=30")
    assert code == 2  # other settings are another search
    assert "name another folder" in found["error"]
    code, found, err = run(*words, "--max-drop=0", "--budget-params=20", "--compensate")
    assert (code, "compensate=true, and it was made with false" in found["error"]) == (2, True)
    code, found, err = run(*words, "--max-drop=0", "--budget-params=20")
    report = found["report"]
    assert (code, found["ok"], report["met"]) == (1, False, False)
    assert report["candidates"][0]["name"] == "dense"
    assert "decision" in report["decisions"][0]
    assert "weights-1: " in err  # progress
    assert found["written"][0].startswith("found/")
