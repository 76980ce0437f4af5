"""What `import keras_prune` brings with it, and what it costs."""

import os
import subprocess
import sys

import pytest
from support.zoo import BACKEND

OTHERS = {"tensorflow", "jax", "torch"} - {BACKEND}


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ).stdout.strip()


def test_it_imports_only_what_keras_does():
    code = (
        "import sys, keras; before = set(sys.modules); import keras_prune;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - {'keras_prune'};"
        "print(sorted(name for name in new if name not in sys.stdlib_module_names))"
    )
    assert python(code) == "[]"


def test_what_is_not_asked_for_is_not_imported():
    code = "import sys, keras_prune; print([n for n in sys.modules if n.startswith('keras_prune.')])"
    loaded = python(code)
    assert "keras_prune.callbacks.pruning_schedule" in loaded
    for part in ("automation", "channels", "controllers", "depth", "insight.explain", "legacy", "monitoring", "plots"):
        assert f"keras_prune.{part}" not in loaded


def test_every_public_name_is_there():
    import keras_prune

    assert set(keras_prune.__all__) <= set(dir(keras_prune))
    for name in keras_prune.__all__:
        assert getattr(keras_prune, name) is not None
    assert set(keras_prune._MODULES) < set(keras_prune.__all__)
    with pytest.raises(AttributeError, match="no attribute 'prune_chanels'"):
        keras_prune.prune_chanels  # noqa: B018


@pytest.mark.skipif(BACKEND != "jax", reason="Keras itself may import TensorFlow where it is the backend")
def test_no_other_backend_is_imported():
    others = ("tensorflow", "torch", "tensorflow_model_optimization")
    code = f"import sys, keras_prune; print([name for name in {others} if name in sys.modules])"
    assert python(code) == "[]"


@pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")
def test_no_file_of_the_core_names_a_backend_package():
    import pathlib
    import re

    import keras_prune

    pattern = re.compile(r"^\s*(import|from)\s+(tensorflow|jax|torch|tf_keras|tensorflow_model_optimization)", re.M)
    for file in pathlib.Path(keras_prune.__file__).parent.rglob("*.py"):
        assert not pattern.search(file.read_text()), file
