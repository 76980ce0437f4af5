"""The examples of weight pruning run as a user runs them, on data of seconds."""

import re

import keras
import numpy as np
import pytest
from support.example_runs import digits, run_example

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="once is enough")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "mnist.npz"
    keys = "x_train", "y_train", "x_test", "y_test"
    np.savez(path, **dict(zip(keys, (*digits(700, 1), *digits(200, 2)), strict=True)))
    return path


def run(tmp_path, script, *arguments):
    done = run_example(tmp_path, "--smoke", *arguments, script=script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_criteria_on_mnist(tmp_path, data):
    printed = run(tmp_path, "mnist_criteria", f"--data={data}", "--draws=1")
    rows = re.findall(r"^ +(\w+) +(\d+\.\d+)% +(\d+\.\d+)% +(\d+\.\d+)% *$", printed, re.M)
    assert [row[0] for row in rows] == ["magnitude", "lamp", "movement", "wanda", "random"]
    accuracies = {name: [float(each) for each in row] for name, *row in rows}
    assert len({tuple(row) for row in accuracies.values()}) > 1
    ways = ("of each layer", "of all together", "of all, 92% at most")
    for column, way in enumerate(ways):
        better = [name for name, row in accuracies.items() if row[column] > accuracies["random"][column]]
        assert f"{way}: {', '.join(better) or 'none'}" in printed


@pytest.mark.slow
def test_text_without_training(tmp_path):
    path = tmp_path / "sentences.npz"
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 99, (190, 12)), rng.integers(0, 2, 190)
    x[:, 0] = 1 + 10 * y  # one word says it all
    np.savez(path, x_train=x[:150], y_train=y[:150], x_test=x[150:], y_test=y[150:])
    printed = run(tmp_path, "text_without_training", f"--data={path}", "--seeds=2", "--samples=64", "--epochs=3")
    rows = re.findall(r"^ +(\w.*?)  +(\d+\.\d+)% +(\d+\.\d+)% +(-?\d+\.\d+) *$", printed, re.M)
    kinds = ["dense"] + 2 * ["half of heads and units"] + 3 * ["half of the weights"] + 3 * ["2:4"]
    assert [name.partition(",")[0] for name, *_ in rows] == kinds
    dense = np.mean([float(each) for each in rows[0][1:3]])
    for _, *accuracies, lost in rows:
        assert float(lost) == pytest.approx(dense - np.mean([float(each) for each in accuracies]), abs=0.02)


@pytest.mark.slow
def test_methods_on_mnist(tmp_path, data):
    output = tmp_path / "new"
    flags = f"--data={data}", f"--output={output}", "--points=0.5", "--methods=weights", "--methods=channels"
    printed = run(tmp_path, "mnist_methods", *flags)
    table = (output / "methods_0.md").read_text()
    left = dict(re.findall(r"^\| (weights|channels) +\|[^|]*\| *(\d+\.\d+)%", table, re.M))
    assert set(left) == {"weights", "channels"}
    assert float(left["weights"]) == pytest.approx(50, abs=0.2)
    assert 40 < float(left["channels"]) <= 50  # within one channel
    for word in ("dense", "control", f"{left['channels']}%"):
        assert word in printed
    assert (output / "methods_0.png").stat().st_size > 1000


def test_bad_flags_are_named(tmp_path):
    done = run_example(tmp_path, "--seeds=0", script="mnist_criteria")
    assert done.returncode != 0
    assert "must be at least 1. Received: 0" in done.stderr + done.stdout
