"""What `import keras_prune` brings with it, and what it costs."""

import os
import subprocess
import sys

import pytest
from zoo import BACKEND

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
