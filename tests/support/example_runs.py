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

programs = None  # `support.forks.Programs`, which tests/conftest.py sets


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


def run_program(line, *, cwd=None, fresh=False, timeout=300):
    """Runs `[sys.executable, FILE or "-c", ...]` with TensorFlow, and returns what it did.

    Args:
        line: The words of the command.
        cwd: Its working directory.
        fresh: It imports TensorFlow and Keras itself, which takes seconds, as its conversions do: as at a user's.
        timeout: After so many seconds it is an error.
    """
    line = [str(word) for word in line]
    if programs and not fresh:
        return programs.run(line, env=environment(), cwd=cwd, timeout=timeout)
    options = {"capture_output": True, "encoding": "utf-8", "check": False}
    return subprocess.run(line, env=environment(), cwd=cwd, timeout=timeout, **options)


def run_example(folder, *arguments, script="mnist_cnn", fresh=False):
    """Runs an example with the empty folder `cwd` as working directory and returns what it did."""
    cwd = folder / "cwd"
    cwd.mkdir()
    return run_program([sys.executable, EXAMPLES / f"{script}.py", *arguments], cwd=cwd, fresh=fresh)


def digits(count, seed):
    """Images that can be learned in seconds: one bright square on noise, whose place is the label."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, count)
    x = rng.integers(0, 60, (count, 28, 28))
    for image, label in zip(x, y, strict=True):
        row, column = 4 + 12 * (label // 5), 1 + 5 * (label % 5)
        image[row : row + 8, column : column + 5] += 190
    return x.astype("uint8"), y.astype("uint8")
