"""The benchmarks of writing out and of reconstruction run, and report what they should."""

import json
import re
import sys
from pathlib import Path

import pytest
from support.example_runs import run_program
from support.zoo import BACKEND

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")


def lines(script, *flags):
    done = run_program([sys.executable, BENCHMARKS / script, *flags])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_writing_out():
    found = lines("expansion.py", "--blocks=1", "--blocks=2", "--width=16")
    rows = [json.loads(line) for line in found if line.startswith('{"blocks"')]
    assert [row["blocks"] for row in rows][-2:] == [1, 2]
    assert all(row[key] > 0 for row in rows for key in ("weights", "call", "expand", "analyze"))
    assert rows[-1]["weights"] > rows[-2]["weights"]


def test_reconstruction_leaves_less_than_a_sweep_and_both_less_than_magnitude():
    found = "\n".join(lines("reconstruction.py", "--samples=128", "--rounds=1"))
    errors = {
        name.strip(): float(value) for name, value in re.findall(r"^(.+?) processor time.*error (\S+)$", found, re.M)
    }
    assert errors["keras_prune"] < errors["plain sweep"] < errors["not refitted"]


@pytest.mark.slow
def test_reconstruction_of_more_layers_and_images():
    found = lines("reconstruction_scaling.py", "--layers", "1", "2", "--images", "16", "32", "--width=4")
    rows = [re.findall(r"[\d.]+", line) for line in found[1:]]
    assert [row[:2] for row in rows] == [["1", "16"], ["2", "16"], ["1", "32"]]
    assert all(float(row[2]) > 0 for row in rows)
