"""Running the examples as a user does, and images to run them on."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Keras and TensorFlow import JAX, and what else comes with the extra "test", wherever they find it. That takes half of
# the seconds until a process with TensorFlow begins its work. With this folder on its path, it finds none of that.
NOT_INSTALLED = str(Path(__file__).resolve().parent / "not_installed")


def import_example(name):
    """The module as it is when a user runs it: its own folder is on the path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def environment():
    """Variables for a process that uses TensorFlow."""
    path = os.pathsep.join(filter(None, (NOT_INSTALLED, os.environ.get("PYTHONPATH"))))
    settings = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONIOENCODING": "utf-8"}
    return {**os.environ, **settings, "PYTHONPATH": path}


def run_example(folder, *arguments, script="mnist_cnn"):
    """Runs an example with the empty folder `cwd` as working directory and returns what it did."""
    cwd = folder / "cwd"
    cwd.mkdir()
    return subprocess.run(
        [sys.executable, str(EXAMPLES / f"{script}.py"), *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def digits(count, seed):
    """Images that can be learned in seconds: one bright square on noise, whose place is the label."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, count)
    x = rng.integers(0, 60, (count, 28, 28))
    for image, label in zip(x, y, strict=True):
        row, column = 4 + 12 * (label // 5), 1 + 5 * (label % 5)
        image[row : row + 8, column : column + 5] += 190
    return x.astype("uint8"), y.astype("uint8")
