"""The benchmark of structured pruning runs and reports what it should; see test_benchmarks.py."""

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
    command = [sys.executable, str(BENCHMARKS / "run_channels.py"), "--smoke", "--networks=MobileNetV2"]
    command += ["--backends=tensorflow", f"--output={output}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(output.read_text())


def test_a_network_is_pruned_and_timed(smoke):
    printed, results = smoke
    (row,) = results["networks"]
    assert (row["network"], row["name"], row["rounds"]) == ("MobileNetV2", "tensorflow", 1)
    assert row["before"] == 3_504_872  # as torchvision's
    assert row["after"] < 0.4 * row["before"]
    assert min(row["first"], row["seconds"], row["cpu"], row["build"]) > 0
    assert "ratio" not in row  # Torch-Pruning took no part
    assert f"{row['seconds']:.3f}" in printed
    assert "Torch-Pruning was not measured" in printed


def test_chains_are_timed_node_by_node(smoke):
    printed, results = smoke
    assert [row["nodes"] for row in results["scaling"]] == [20, 40]
    for row in results["scaling"]:
        assert row["each"] == {key: row[key] / row["nodes"] for key in ("build", "analyze", "prune")}
        assert all(seconds > 0 for seconds in row["each"].values())
        assert f"{row['analyze']:.3f}" in printed


def test_the_ratio_is_that_of_rounds_measured_together():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import channel_report
    finally:
        sys.path.remove(str(BENCHMARKS))

    def answers(*seconds):
        taken = ({"seconds": each, "cpu": each} for each in seconds)
        return [{"build": each, "copy": half(each), "prune": each, "before": 10, "after": 3} for each in taken]

    def half(taken):
        return {key: value / 2 for key, value in taken.items()}

    rounds = {"tensorflow": answers(9, 1, 2, 3), channel_report.PEER: answers(1, 2, 2, 2)}
    mine, peer = channel_report.network_rows("x", rounds)
    assert (mine["first"], mine["first_ratio"], mine["seconds"]) == (9, 9, 2)
    assert (mine["lowest"], mine["ratio"], mine["highest"], mine["ok"]) == (0.5, 1.0, 1.5, True)
    assert mine["ratio_to_copy"] == 2 / 3
    assert (peer["seconds"], "ratio" in peer) == (2, False)
    rounds[channel_report.PEER].pop()  # it crashed: no ratio of what was not measured together
    assert "ratio" not in channel_report.network_rows("x", rounds)[0]
