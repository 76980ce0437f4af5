"""The benchmarks run and report what they should. What they measure is not tested: that is for a quiet machine."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from support.example_runs import environment

pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="starts processes with backends of their own"),
    pytest.mark.slow,
]

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """What a smoke run printed, and what it wrote."""
    output = tmp_path_factory.mktemp("benchmarks") / "results.json"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--smoke", "--backends", "tensorflow", "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(output.read_text())


def test_each_network_is_trained_with_rare_and_frequent_updates(smoke):
    _, results = smoke
    rows = results["steps"]
    assert [(row["network"], row["backend"], row["frequency"], row["limit"]) for row in rows] == [
        ("cnn", "tensorflow", 100, 1.01),
        ("cnn", "tensorflow", 10, 1.02),
        ("mlp", "tensorflow", 100, 1.05),
        ("mlp", "tensorflow", 10, 1.15),
    ]
    for row in rows:
        assert 0 < row["lowest"] <= row["ratio"] <= row["highest"]
        assert row["ok"] == (row["ratio"] <= row["limit"])
        assert row["cpu_ratio"] > 0
        assert 0 < row["again_lowest"] <= row["again_highest"]
        assert row["dense_ms"] > 0
        assert row["pruned_ms"] > 0
        assert row["rounds"] == 1
        assert row["tfmot"] is None


def test_updates_are_timed_at_each_sparsity(smoke):
    _, results = smoke
    rows = results["updates"]
    assert [row["case"] for row in rows] == ["1 array", "50 arrays", "50 arrays, global"]
    for row in rows:
        assert list(row["seconds"]) == ["0.5", "0.8", "0.9", "0.95"]
        assert all(seconds > 0 for seconds in row["seconds"].values())
        assert row["ok"] == (max(row["seconds"].values()) <= row["limit"] == 1.0)
        assert row["memory"] is None or row["memory_ok"] == (row["memory"] <= row["memory_limit"] == 2.0)


def test_updates_are_timed_with_importances_that_need_data(smoke):
    printed, results = smoke
    rows = results["criteria"]
    assert [row["importance"] for row in rows] == ["magnitude", "wanda", "taylor"]
    assert rows[0]["magnitudes"] == 1
    for row in rows:
        assert 0 < row["lowest"] <= row["steps"] <= row["highest"]
        assert row["steps"] == pytest.approx(row["update_ms"] / row["step_ms"])  # one round
        (line,) = (line for line in printed.splitlines() if f" {row['importance']} " in line)
        assert f"{row['update_ms']:.1f}" in line
        assert f"{row['steps'] / 100:.1%}" in line


def test_tables_show_every_row_and_say_what_was_left_out(smoke):
    printed, results = smoke
    for title in (
        "Training step, pruned / dense",
        "One mask update, 250 thousand weights",
        "One mask update of the CNN",
    ):
        assert title in printed
    for row in results["steps"]:
        (line,) = [line for line in printed.splitlines() if f"{row['network'].upper()} " in line
                   and f"{row['frequency']} steps" in line]  # fmt: skip
        assert f"{row['ratio']:.3f}" in line
        assert ("miss" not in line) == row["ok"]
    for row in results["updates"]:
        assert f"{row['seconds']['0.9']:.3f}" in printed
    assert "tfmot was not measured" in printed


def test_the_machine_is_named(smoke):
    _, results = smoke
    assert {"processor", "cores", "load", "python", "keras"} <= set(results["machine"])
    assert results["smoke"]


def test_a_crash_is_reported_and_the_rest_goes_on(tmp_path):
    output = tmp_path / "results.json"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--smoke", "--backends", "no_such_backend"]
    done = subprocess.run([*command, "--output", output], capture_output=True, text=True, env=environment())
    assert done.returncode == 1
    assert "step.py --network=cnn" in done.stdout
    assert json.loads(output.read_text())["steps"] == []
