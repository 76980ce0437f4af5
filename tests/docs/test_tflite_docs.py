"""The examples in the docstrings of tflite_export run as they stand."""

import inspect
import pathlib

import keras
import pytest
from support import tflite_files as made
from support.pages import blocks

import tflite_export
from tflite_export import preparation

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
FUNCTIONS = [getattr(tflite_export, name) for name in tflite_export.__all__ if name[0].islower()]
SECTIONS = ("Args:", "Returns:", "Raises:", "Example:")


def quick_export(model, path):
    pathlib.Path(path).write_bytes(made.convert(model, "float32", "."))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_docstring_examples_run(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preparation, "_STEPS", list(preparation._STEPS))  # an example registers one
    if function is not tflite_export.export:  # the example of another function takes its file from a quicker converter
        monkeypatch.setattr(tflite_export, "export", quick_export)
    text = inspect.getdoc(function)
    assert [section for section in SECTIONS if section not in text] == []
    (example,) = blocks(text)
    exec(example.code, {})
