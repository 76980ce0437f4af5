"""The examples of weight pruning run as a user runs them, on data of seconds."""

import re

import keras
import numpy as np
import pytest
from example_runs import digits, run_example

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


def test_lottery_tickets(tmp_path, data):
    printed = run(tmp_path, "lottery_ticket", f"--data={data}")
    rows = re.findall(r"^ +(\d+\.\d+)% +(\d+\.\d+)% +(\d+\.\d+)% +([+-]\d+\.\d+) points", printed, re.M)
    sparsities = [float(row[0]) for row in rows]
    assert sparsities == [0.0, 60.0, 84.0, 90.0]
    for _, ticket, control, difference in rows:
        assert float(ticket) - float(control) == pytest.approx(float(difference), abs=0.02)
    assert float(rows[0][1]) > 30  # it learns


def test_criteria_on_mnist(tmp_path, data):
    printed = run(tmp_path, "mnist_criteria", f"--data={data}")
    rows = re.findall(r"^ +(\w+) +(\d+\.\d+)% +(\d+\.\d+)% *$", printed, re.M)
    assert [row[0] for row in rows] == ["magnitude", "lamp", "movement", "wanda"]
    assert len({row[1:] for row in rows}) > 1


@pytest.mark.parametrize("script", ["lottery_ticket", "mnist_criteria"])
def test_bad_flags_are_named(tmp_path, script):
    done = run_example(tmp_path, "--seeds=0", script=script)
    assert done.returncode != 0
    assert "must be at least 1. Received: 0" in done.stderr + done.stdout
