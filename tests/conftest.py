"""Shared by all tests."""

import atexit
import contextlib
import functools
import gc
import os
import shutil
import sys
import tempfile
import types

# The same small models are trained in many tests. On JAX each program is compiled once a run, not once a test: what
# this process, its xdist workers, and the processes that the tests start have compiled, they read from one folder.
if os.environ.get("KERAS_BACKEND") == "jax" and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    compiled = tempfile.mkdtemp(prefix="compiled")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import keras
import numpy as np
import pytest
from hypothesis import settings
from support import example_runs
from support.forks import Converter, Programs

# On JAX a quarter of the time would go into LLVM's optimisations of models that then run for milliseconds. XLA reads
# its flags once a process, when it starts. What the tests run as programs (workers, devices, interrupted trainings) is
# compiled as at a user's: the flags are taken back. So are all tests with `make test-jax XLA_FLAGS=`.
if keras.backend.backend() == "jax" and "XLA_FLAGS" not in os.environ:
    import jax

    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    jax.jit(lambda x: x + 1)(0.0)
    del os.environ["XLA_FLAGS"]


os.environ["COLUMNS"] = "120"  # tables are as wide as the terminal, which pytest-xdist passes on to its processes
pytest_plugins = ["support.autoprune_runs"]  # fixtures of several folders

# How long an example takes depends on what else the machine does, and on whether Keras compiles something first.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """Files with slow tests come first: no process is left with one at the end, while the other has nothing to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module", autouse=True)
def _freeze():
    """What is there before a file of tests stays: Keras collects garbage before each test, and need not search it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _figures():
    """Figures that a test drew are closed: matplotlib warns of more than twenty."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


@pytest.fixture(scope="session")
def _converter():
    """What forks conversions, and programs that are run by `support.example_runs`. Both start when they are needed."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        converter = Converter(f"{folder}/conversions")
        programs = Programs(f"{folder}/programs", converter)
        if hasattr(os, "fork"):
            patch.setattr(example_runs, "programs", programs)
        yield converter
        programs.close()
        converter.close()


@pytest.fixture(scope="module", autouse=True)
def _conversions(request, _converter):
    """Conversions save the import of TensorFlow, except those of one file, which start as at a user's."""
    with pytest.MonkeyPatch.context() as patch:
        if keras.backend.backend() == "tensorflow" and hasattr(os, "fork") and request.path.name != "test_export.py":
            patch.setattr("tflite_export.subprocesses.execute", _converter.run)
        yield


@pytest.fixture(autouse=True)
def _seed():
    """Every test starts from the same random state and with fresh layer names."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def tflite_files(tmp_path_factory):
    """The same small CNN, converted by TensorFlow in each way: the Keras model, and a path by kind."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow converts")
    from support import tflite_files

    keras.utils.set_random_seed(0)
    model, paths = tflite_files.cnn(), {}
    for kind in tflite_files.KINDS:
        folder = tmp_path_factory.mktemp(kind)
        paths[kind] = folder / f"{kind}.tflite"
        paths[kind].write_bytes(tflite_files.convert(model, kind, folder))
    return model, paths


@pytest.fixture
def scratch(tmp_path_factory, monkeypatch):
    """Where temporary files go, so that what stays behind shows."""
    folder = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with contextlib.suppress(ImportError):
        from tensorflow.python.autograph.pyct import loader

        # AutoGraph, TensorFlow's, keeps what it translated until Python ends: in another folder.
        elsewhere = functools.partial(tempfile.NamedTemporaryFile, dir=tmp_path_factory.mktemp("autograph"))
        monkeypatch.setattr(loader, "tempfile", types.SimpleNamespace(NamedTemporaryFile=elsewhere))
    return folder


@pytest.fixture
def old_file(tmp_path, scratch):
    """A file at the path of the export, which no failure may touch and beside which nothing may stay."""
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    yield path
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.tflite"]
    assert os.listdir(scratch) == []
