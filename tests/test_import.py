"""What `import keras_prune` brings with it, and what it costs."""

import os
import subprocess
import sys

import pytest
from support.zoo import BACKEND, mlp

import keras_prune as kp
import tflite_export

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
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(name for name in new if name not in sys.stdlib_module_names))"
    )
    assert python(code) == "['keras_prune', 'lazy_loader', 'tflite_export']"


def test_without_keras_it_imports_next_to_nothing():
    code = "import sys, keras_prune, tflite_export; print([n for n in sys.modules if n in ('keras', 'numpy', 'rich')])"
    assert python(code) == "[]"


def test_what_is_not_asked_for_is_not_imported():
    code = "import sys, keras, keras_prune; print([n for n in sys.modules if n.startswith('keras_prune.')])"
    loaded = python(code)
    assert "keras_prune.masking.wrapper" in loaded
    for room in ("automation", "callbacks", "channels", "costs", "insight", "layers", "legacy", "plots", "tracing"):
        assert f"keras_prune.{room}" not in loaded


@pytest.mark.parametrize("order", ["import keras, keras_prune", "import keras_prune, keras"])
def test_files_with_masks_can_be_loaded_once_the_package_is_imported(order, tmp_path):
    """Whatever was imported first, and though nothing of it was asked for."""
    path = tmp_path / "model.keras"
    kp.prune_weights(mlp(), 0.5).save(path)
    code = f"{order}; model = keras.saving.load_model({str(path)!r}); print(type(model).__mro__[1].__name__)"
    assert python(code) == "PrunedModel"


@pytest.mark.parametrize("package", [kp, tflite_export])
def test_every_public_name_is_there(package):
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="prune_chanels"):
        package.prune_chanels  # noqa: B018


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
