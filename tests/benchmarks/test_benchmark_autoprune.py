"""The benchmark of `autoprune` runs, and compares what it says."""

import json
import sys
from pathlib import Path

import keras
import pytest
from support.example_runs import run_program

import keras_prune as kp

pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports to .tflite"),
    pytest.mark.slow,
]

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "autoprune_uniform.py"


def test_a_search_is_compared_with_the_same_ratio_everywhere(tmp_path):
    done = run_program([sys.executable, SCRIPT, "--smoke", "--cases=mnist", f"--output={tmp_path}"])
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "mnist_0"
    found = json.loads((folder / "figures.json").read_text())
    front = kp.automation.ParetoFront.load(folder / "search")
    best = next(each for each in front.candidates if each.name == found["result"]["best"])
    assert found[best.name]["bytes"] == best.bytes == best.path.stat().st_size <= 30_000
    hand = found["by hand"]
    assert hand["epochs"] == best.epochs >= 1  # trained for as long
    uniform = next(each for each in front.candidates if each.allocation == "uniform")
    assert uniform.bytes == pytest.approx(hand["bytes"], rel=0.02)  # as large as the search's uniform one
    assert hand["bytes"] == (folder / "by_hand.tflite").stat().st_size <= 30_000
    first = kp.prune_channels(keras.models.load_model(folder / "dense.keras"), hand["ratio"]).model
    assert first.count_params() < hand["bytes"]
    for figure in (f"{best.bytes:,}", f"{hand['bytes']:,}", f"{hand['test']:.2%}", "mnist, 0"):
        assert figure in done.stdout
    assert "The numbers of --smoke mean nothing" in done.stdout
