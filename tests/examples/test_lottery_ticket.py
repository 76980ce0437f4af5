"""The lottery ticket experiment runs as a user runs it, on data of seconds."""

import re

import keras
import numpy as np
import pytest
from support.example_runs import digits, run_example

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the examples run on TensorFlow"),
]


def test_it_prints_each_round_and_the_mean_of_the_seeds(tmp_path):
    (x_train, y_train), (x_test, y_test) = digits(640, 1), digits(150, 2)
    data = tmp_path / "data.npz"
    np.savez(data, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    done = run_example(tmp_path, "--smoke", "--seeds=2", f"--data={data}", script="lottery_ticket")
    assert done.returncode == 0, done.stderr
    lines = re.findall(
        r"^seed (\d), round (\d) of 3: sparsity (\S+)%, ticket (\S+)%, random (\S+)%$", done.stdout, re.M
    )
    assert [line[:3] for line in lines] == [
        (str(seed), str(number), sparsity)
        for seed in range(2)
        for number, sparsity in enumerate(("0.00", "60.00", "84.00", "90.00"))
    ]
    accuracies = np.array([line[3:] for line in lines], float).reshape(2, 4, 2)
    assert accuracies.max() > 80  # so something was learned: guessing gives 10
    percent = r"(\S+)% \(\S+%-\S+%\)"
    rows = re.findall(rf"^ +(\S+)%  +{percent}  +{percent}  +(\S+) points *$", done.stdout, re.M)
    table = np.array(rows, float)
    np.testing.assert_array_equal(table[:, 0], [0, 60, 84, 90])
    np.testing.assert_allclose(table[:, 1:3], accuracies.mean(0), atol=0.011)
    np.testing.assert_allclose(table[:, 3], table[:, 1] - table[:, 2], atol=0.011)
    assert "The mean of 2 seeds" in done.stdout
    assert not list((tmp_path / "cwd").iterdir())


@pytest.mark.parametrize("flag", ["fraction=1", "final_sparsity=1", "epochs=0", "data=missing"])
def test_a_flag_out_of_range_ends_it_without_a_trace(flag, tmp_path):
    done = run_example(tmp_path, f"--{flag}", script="lottery_ticket")
    assert done.returncode == 1
    assert re.search(f"--{flag.replace('=', '=.*')}.*: must be .*Received: ", done.stderr)
    assert "Traceback" not in done.stderr
