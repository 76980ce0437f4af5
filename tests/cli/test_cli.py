"""The commands: what they find and write is what the library finds and makes."""

import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

import keras
import numpy as np
import pytest
from support import cli_files
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.cli import main
from keras_prune.cli.results import plain

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


@pytest.fixture
def report(run):
    """Runs a command line with `--json`, which must succeed, and returns the report."""

    def command(*words):
        code, out, err = run(*words, "--json")
        assert code == 0, err
        found = cli_files.strict_json(out)
        assert found["ok"] is True
        return found["report"]

    return command


def zeros(path):
    return kp.summary(keras.saving.load_model(path)).prunable_zeros


def test_summary(folder, run, report):
    expected = kp.summary(keras.saving.load_model("model.keras"))
    assert run("summary", "model.keras") == (0, str(expected).strip("\n") + "\n", "")
    found = report("summary", "model.keras")
    assert found["parameters"] == expected.parameters
    assert [layer["name"] for layer in found["layers"]] == [layer.name for layer in expected.layers]
    assert found["layers"][0]["weights"][0]["shape"] == [3, 3, 1, 8]


def test_channels(folder, run, report):
    analysis = kp.analyze_channels(cli_files.cnn())
    assert run("channels", "model.keras")[1].strip() == str(analysis).strip()
    found = report("channels", "model.keras")
    assert found["fingerprint"] == analysis.fingerprint
    assert [(group["name"], group["channels"], group["free"]) for group in found["groups"]] == [
        (group.name, group.size, int(group.free.sum())) for group in analysis.groups
    ]
    names = [each["name"] for each in report("channels", "residual.keras", "--layers")["candidates"]]
    assert names == [each.name for each in kp.analyze_layers(cli_files.residual()).candidates]


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--sparsity=0.5"], {"sparsity": 0.5}),
        (["--sparsity=0.5", "--targets=c*=0.2"], {"sparsity": 0.5, "targets": {"c*": 0.2}}),
        (["--sparsity=0.75", "--selection=global"], {"sparsity": 0.75, "selection": kp.Percentile("global")}),
        (["--selection=2:4", "--targets=conv1=none"], {"selection": kp.NByM(2, 4), "targets": {"conv1": None}}),
        (["--selection=4x1", "--sparsity=0.5"], {"selection": kp.Block((4, 1)), "sparsity": 0.5}),
        (["--selection=threshold=0.1"], {"selection": kp.Threshold(0.1)}),
        (["--selection=relative=0.2"], {"selection": kp.RelativeThreshold(0.2)}),
        (["--selection=mean=0.5"], {"selection": kp.MeanThreshold(0.5)}),
        (["--selection=std=0.5"], {"selection": kp.StdThreshold(0.5)}),
    ],
)  # fmt: skip
def test_prune_weights(folder, report, options, arguments):
    model = keras.saving.load_model("model.keras")
    expected = kp.summary(kp.prune_weights(model, **arguments))
    found = report("prune", "weights", "model.keras", "-o", "sparse.keras", *options)
    assert found == plain(expected)
    assert zeros("sparse.keras") == expected.prunable_zeros > 0
    assert kp.summary(keras.saving.load_model("sparse.keras")).masked


def test_prune_weights_and_refit_what_is_kept(folder, report):
    x = np.load("train.npz")["x_train"].astype("float32")
    expected = kp.prune_weights(keras.saving.load_model("model.keras"), 0.5, targets="reconstruction", reconstruct=x)
    options = ("--sparsity=0.5", "--targets=reconstruction", "--reconstruct=train.npz")
    assert report("prune", "weights", "model.keras", "-o", "sparse.keras", *options) == plain(kp.summary(expected))
    found = keras.saving.load_model("sparse.keras")
    close = found(x, training=False), expected(x, training=False)  # the file's samples come in another order
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, close), atol=1e-3)


def test_prune_weights_to_a_budget(folder, report, run):
    x = np.load("train.npz")["x_train"].astype("float32")
    given = {"budget": kp.Budget(macs=0.7), "targets": {"conv1": None, "*": "reconstruction"}, "reconstruct": x}
    expected = kp.prune_weights(keras.saving.load_model("model.keras"), **given)
    options = ("--budget-macs=0.7", "--targets=conv1=none", "--targets=*=reconstruction", "--reconstruct=train.npz")
    assert report("prune", "weights", "model.keras", "-o", "sparse.keras", *options) == plain(kp.summary(expected))
    code, out, err = run("prune", "weights", "model.keras", "-o", "no.keras", "--budget-params=0.5", "--sparsity=0.5")
    assert (code, out) == (2, "")
    assert "Received: sparsity=0.5, budget=Budget(params=0.5)" in err


def test_prune_weights_by_an_importance_that_needs_data(folder, run, report):
    options = ["--sparsity=0.5", "--importance=taylor", "--data=train.npz"]
    report("prune", "weights", "model.keras", "-o", "own.keras", *options)  # the loss that the model has
    report("prune", "weights", "model.keras", "-o", "same.keras", *options, "--loss=sparse_categorical_crossentropy")
    report("prune", "weights", "model.keras", "-o", "few.keras", *options, "--samples=3")
    weights = {name: keras.saving.load_model(f"{name}.keras").get_weights() for name in ("own", "same", "few")}
    for own, same in zip(weights["own"], weights["same"], strict=True):
        np.testing.assert_array_equal(own, same)
    assert any((own != few).any() for own, few in zip(weights["own"], weights["few"], strict=True))
    code, out, err = run("prune", "weights", "model.keras", "-o", "no.keras", *options[:2])
    assert (code, out) == (2, "")
    assert "data=None" in err


def test_cost(folder, run, report):
    model = keras.saving.load_model("model.keras")
    assert run("cost", "model.keras")[1].strip() == str(kp.cost(model)).strip()
    found = report("cost", "model.keras")
    # 4x4 places of 3x3x1x8 products, 2x2 of 3x3x8x8, and 32x4.
    assert found["macs"] == 16 * 72 + 4 * 576 + 128
    assert found["parameters"] == model.count_params()


def test_compare(folder, report):
    report("prune", "weights", "model.keras", "-o", "sparse.keras", "--sparsity=0.5")
    (folder / "other").mkdir()
    shutil.copy("model.keras", "other/model.keras")
    words = ["compare", "model.keras", "sparse.keras", "other/model.keras", "--data=train.npz", "--no-latency"]
    found = report(*words)["models"]
    assert [each["model"] for each in found] == ["model.keras", "sparse.keras", "other/model.keras"]
    x, y = cli_files.images(32, 2)  # `x_test` comes first
    loss, accuracy = keras.saving.load_model("model.keras").evaluate(x, y, verbose=0)
    assert found[0]["accuracy"] == pytest.approx(accuracy)
    assert found[0]["loss"] == pytest.approx(loss, rel=1e-5)
    assert found[1]["effective_macs_ratio"] < 1 == found[2]["effective_macs_ratio"]
    name = "sparse_categorical_crossentropy"
    found = report(*words, "--metrics", name, "--x-key=x_train", "--y-key=y_train")["models"]
    assert found[0][name] == pytest.approx(found[0]["loss"], rel=1e-5) != loss


def test_strip_leaves_plain_layers(folder, run, report):
    report("prune", "weights", "model.keras", "-o", "sparse.keras", "--sparsity=0.5")
    code, out, _ = run("strip", "sparse.keras", "-o", "plain.keras")
    assert code == 0
    assert f"Wrote plain.keras, {(folder / 'plain.keras').stat().st_size:,} bytes" in out
    report("prune", "weights", "model.keras", "-o", "at_once.keras", "--sparsity=0.5", "--strip")
    for name in ("plain", "at_once"):
        model = keras.saving.load_model(f"{name}.keras")
        assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
        assert zeros(f"{name}.keras") == zeros("sparse.keras")


@pytest.mark.parametrize("budget", [{"macs": 0.5}, {"weight_bytes": 0.5}], ids=str)
def test_prune_channels_and_replay_the_plan(folder, report, budget):
    expected = kp.prune_channels(keras.saving.load_model("model.keras"), budget=kp.Budget(**budget), round_to=2)
    asked = [f"--budget-{name.replace('_', '-')}={value}" for name, value in budget.items()]
    options = [*asked, "--round-to=2", "--save-plan=plan.json"]
    found = report("prune", "channels", "model.keras", "-o", "small.keras", *options)
    assert found == plain(expected.report)
    report("prune", "channels", "model.keras", "-o", "again.keras", "--plan=plan.json")
    for name in ("small", "again"):
        weights = keras.saving.load_model(f"{name}.keras").get_weights()
        for mine, theirs in zip(weights, expected.model.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_prune_channels_compensates(folder, report):
    x = np.load("train.npz")["x_train"]
    expected = kp.prune_channels(keras.saving.load_model("model.keras"), 0.5, compensate=x)
    found = report(
        "prune", "channels", "model.keras", "-o", "small.keras", "--ratio=0.5", "--compensate", "--data=train.npz"
    )
    assert [row["layer"] for row in found["compensated"]] == [row.layer for row in expected.report.compensated]
    weights = keras.saving.load_model("small.keras").get_weights()
    for mine, theirs in zip(weights, expected.model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_prune_channels_merges_without_data(folder, report):
    expected = kp.prune_channels(keras.saving.load_model("model.keras"), 0.5, compensate="weights")
    found = report("prune", "channels", "model.keras", "-o", "small.keras", "--ratio=0.5", "--compensate", "weights")
    assert [row["note"] for row in found["compensated"]] == ["expected, without data"] * 2
    weights = keras.saving.load_model("small.keras").get_weights()
    for mine, theirs in zip(weights, expected.model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_prune_layers_compensates_on_a_file_of_its_own(folder, report):
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    np.savez("inputs.npz", x=x)
    expected = kp.prune_layers(keras.saving.load_model("residual.keras"), "block1_sum", compensate=x)
    options = ["--names=block1_sum", "--compensate", "inputs.npz"]
    found = report("prune", "layers", "residual.keras", "-o", "small.keras", *options)
    assert [row["layer"] for row in found["compensated"]] == [row.layer for row in expected.report.compensated]
    weights = keras.saving.load_model("small.keras").get_weights()
    for mine, theirs in zip(weights, expected.model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_prune_channels_with_data(folder, report):
    options = ["--ratio=0.5", "--ratios=conv1=none", "--importance=mean_activation", "--recalibrate"]
    found = report("prune", "channels", "model.keras", "-o", "small.keras", *options, "--data=train.npz")
    assert [(group["name"], group["after"]) for group in found["groups"][:2]] == [("conv1", 8), ("conv2", 4)]
    small = keras.saving.load_model("small.keras")
    assert not np.allclose(small.get_layer("norm").moving_mean.numpy() if BACKEND == "tensorflow" else 1, 0)


@pytest.mark.parametrize(
    ("text", "threshold"),
    [("0.9", 0.9), ("relative=0.95", kp.RelativeThreshold(0.95)), ("mean=0.5", kp.MeanThreshold(0.5))],
)
def test_prune_by_threshold(folder, report, text, threshold):
    expected = kp.prune_channels(keras.saving.load_model("model.keras"), threshold=threshold).report
    found = report("prune", "channels", "model.keras", "-o", "small.keras", f"--threshold={text}")
    assert found == plain(expected)
    assert any(group.after < group.before for group in expected.groups)
    layers = kp.prune_layers(keras.saving.load_model("residual.keras"), threshold=threshold).report
    assert report("prune", "layers", "residual.keras", "-o", "less.keras", f"--threshold={text}") == plain(layers)


def test_prune_layers(folder, report):
    found = report("prune", "layers", "residual.keras", "-o", "small.keras", "--names=block1*")
    assert [each["name"] for each in found["candidates"] if each["removed"]] == ["block1_sum"]
    assert not [layer for layer in keras.saving.load_model("small.keras").layers if "block1" in layer.name]
    report("prune", "layers", "residual.keras", "-o", "half.keras", "--ratio=0.5", "--save-plan=plan.json")
    report("prune", "layers", "residual.keras", "-o", "again.keras", "--plan=plan.json")
    names = [[layer.name for layer in keras.saving.load_model(f"{name}.keras").layers] for name in ("half", "again")]
    assert names[0] == names[1]


SCRIPT = ["-c", "import sys; from keras_prune.cli import main; sys.exit(main())"]  # what the entry point is


@pytest.mark.parametrize("start", [["-m", "keras_prune"], SCRIPT], ids=["module", "script"])
@pytest.mark.parametrize("words", [["--help"], ["summary", "model.keras", "--json"]], ids=["help", "summary"])
def test_as_a_process(folder, start, words):
    """Nothing of TensorFlow is on standard error, though the user has not set the level of its logs."""
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, *start, *words], capture_output=True, text=True, env={**environment, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    if words == ["--help"]:
        assert done.stdout.startswith("usage: keras-prune")
    else:
        assert cli_files.strict_json(done.stdout)["report"]["model"] == "cnn"
    if BACKEND == "tensorflow":
        assert done.stderr == ""


def test_the_entry_point_is_there():
    project = tomllib.loads((pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"keras-prune": f"{main.__module__}:{main.__name__}"}
