"""The Deep Compression benchmark runs and reports what it should; its figures are those of its files."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from support.example_runs import digits, run_program

import tflite_export

pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports to .tflite"),
    pytest.mark.slow,
]

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "deep_compression.py"


def test_a_network_is_pruned_shared_packed_and_tested(tmp_path):
    data, output = tmp_path / "mnist.npz", tmp_path / "output"
    x, y = digits(840, seed=0)
    np.savez(data, x_train=x[:640], y_train=y[:640], x_test=x[640:], y_test=y[640:])
    arguments = ["--smoke", "--networks=LeNet-300-100", "--clusters=8", "--seed=3", f"--data={data}"]
    done = run_program([sys.executable, SCRIPT, *arguments, f"--output={output}"])
    assert done.returncode == 0, done.stdout + done.stderr
    (files,) = json.loads((output / "results.json").read_text())["LeNet-300-100"]
    assert set(files) == {"dense", "dense, fine-tuned", "pruned, shared, int8"}
    dense, last = files["dense"], files["pruned, shared, int8"]
    folder = output / "LeNet-300-100" / "seed_3"
    assert dense["bytes"] == (folder / "dense.tflite").stat().st_size
    assert last["bytes"] == (folder / "shared_int8.tflite").stat().st_size
    assert last["xz_bytes"] == (folder / "shared_int8.tflite.xz").stat().st_size
    assert last["ratio"] == dense["bytes"] / last["xz_bytes"] > 40
    assert last["values"] <= 9  # 8 and zero
    assert last["warnings"] == []
    left = 0.06 * 235_200 + 0.1 * 30_000 + 0.35 * 1_000
    assert last["sparsity"] == pytest.approx(1 - left / 266_200, abs=1e-3)
    images = x[640:, :, :, None] / np.float32(255)
    first, more = (tflite_export.predict(folder / f"{name}.tflite", images) for name in ("dense", "dense_fine_tuned"))
    assert np.abs(first - more).max() > 1e-3  # the control was trained
    labels = tflite_export.predict(folder / "shared_int8.tflite", images).argmax(-1)
    assert last["error"] == pytest.approx(np.mean(labels != y[640:]), abs=1e-4)
    for figure in (f"{last['bytes']:,}", f"{last['xz_bytes']:,}", f"{last['ratio']:.1f}", f"{last['error']:.2%}"):
        assert figure in done.stdout
    assert "Goal, 40 times smaller" in done.stdout
