"""The examples in docstrings and in the README run as they stand."""

import inspect
import pathlib
import re
import warnings

import keras
import numpy as np
import pytest
from zoo import BACKEND

import keras_prune as kp
from keras_prune import importance
from keras_prune.channels import Statistics

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")

FENCE = re.compile(r"```python\n(.*?)```", re.S)
ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTED = [getattr(kp, name) for name in kp.__all__ if callable(getattr(kp, name))] + [
    importance.magnitude,
    Statistics,
]
# What needs no example of its own: a result, and classes that `wrap_pruning` makes.
WITHOUT_EXAMPLE = {
    kp.AutopruneResult,
    kp.SparsitySummary,
    kp.ModelCost,
    kp.ModelComparison,
    kp.PrunedModel,
    kp.PruningWrapper,
    kp.Selection,
    kp.Sensitivity,
}


def namespace():
    """What the examples take for granted: a small model, data, and the names of the package."""
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(6, activation="relu"), keras.layers.Dense(2, name="output")]
    )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 8)).astype("float32"), rng.normal(size=(64, 2)).astype("float32")
    names = {name: getattr(kp, name) for name in kp.__all__}
    return {
        **names,
        "keras": keras,
        "kp": kp,
        "np": np,
        "model": model,
        "x": x,
        "y": y,
        "magnitude": importance.magnitude,
    }


@pytest.mark.parametrize("thing", DOCUMENTED, ids=lambda thing: thing.__name__)
def test_docstring_examples_run(thing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = FENCE.findall(inspect.getdoc(thing) or "")
    assert examples or thing in WITHOUT_EXAMPLE, f"{thing.__name__} has no example"
    for example in examples:
        names = namespace()
        if "batches" in example or "optimizer_state" in example:
            continue  # part of a training loop: tests/test_loops.py runs whole ones
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Training ended")  # examples name real schedules, and train on little
            exec(example, names)


def test_every_public_name_says_what_it_does():
    for thing in DOCUMENTED:
        assert len(inspect.getdoc(thing) or "") > 40, thing


def test_the_quick_start_of_the_readme_runs(tmp_path, monkeypatch):
    (block,) = [
        text
        for text in FENCE.findall((ROOT / "README.md").read_text())
        if "PruningSchedule" in text and "tflite_export" in text
    ]
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    names = {
        "model": keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                keras.layers.Conv2D(4, 3, strides=4),
                keras.layers.Flatten(),
                keras.layers.Dense(10, activation="softmax"),
            ]
        ),
        "x_train": rng.normal(size=(512, 28, 28, 1)).astype("float32"),
        "y_train": rng.integers(0, 10, 512),
        "x_test": rng.normal(size=(64, 28, 28, 1)).astype("float32"),
        "y_test": rng.integers(0, 10, 64),
    }
    # The README trains for 2000 steps; the text is the same, only the numbers are smaller.
    exec(block.replace("end_step=2000", "end_step=40").replace("begin_step=1000", "begin_step=2"), names)
    assert (tmp_path / "model.tflite").exists()
