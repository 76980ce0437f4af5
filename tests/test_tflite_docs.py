"""The examples in the docstrings of tflite_export run as they stand."""

import inspect
import pathlib
import re

import keras
import pytest
import tflite_files as made

import tflite_export

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
FUNCTIONS = [getattr(tflite_export, name) for name in tflite_export.__all__ if name[0].islower()]
SECTIONS = ("Args:", "Returns:", "Raises:", "Example:")


def quick_export(model, path):
    pathlib.Path(path).write_bytes(made.convert(model, "float32", "."))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_docstring_examples_run(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if function is not tflite_export.export:  # the example of another function takes its file from a quicker converter
        monkeypatch.setattr(tflite_export, "export", quick_export)
    text = inspect.getdoc(function)
    assert [section for section in SECTIONS if section not in text] == []
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    exec(example, {})


def test_the_files_of_the_readme_run(tflite_files, tmp_path, monkeypatch, capsys):
    readme = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    (block,) = [text for text in re.findall(r"```python\n(.*?)```", readme, re.S) if "to_c_array" in text]
    monkeypatch.chdir(tmp_path)
    _, files = tflite_files
    for name in ("model", "dense", "small", "float32", "int8"):
        kind = name if name in files else "float32"
        pathlib.Path(f"{name}.tflite").write_bytes(files[kind].read_bytes())
    exec(block, {"tflite_export": tflite_export, "x_test": made.images()})
    assert {path.name for path in tmp_path.iterdir()} >= {"model.tflite.xz", "model_data.cc", "model_data.h"}
    assert "int8.tflite" in capsys.readouterr().out
