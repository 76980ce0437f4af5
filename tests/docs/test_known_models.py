"""The page of known models is what a run makes; all layers of Keras are on it."""

import importlib.util
import inspect
import re

import keras
import pytest
from support.pages import DOCS, ROOT
from support.zoo import BACKEND

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")


def test_the_page_is_what_a_run_makes():
    spec = importlib.util.spec_from_file_location("known_models", ROOT / "tools" / "known_models.py")
    known_models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(known_models)
    made = known_models.page()
    assert (DOCS / "known-models.md").read_text() == made, "run `python tools/known_models.py`"


def test_every_layer_of_keras_is_on_the_page_once():
    named = re.findall(r"`(\w+)`", (DOCS / "known-models.md").read_text().partition("## Layers")[2])
    classes = {cls for _, cls in inspect.getmembers(keras.layers, inspect.isclass) if issubclass(cls, keras.Layer)}
    on_page = [getattr(keras.layers, name) for name in named if hasattr(keras.layers, name)]
    # What begins a graph has no channels, and cells are pruned in their RNN.
    rest = {cls.__name__ for cls in classes - set(on_page)}
    assert rest <= {
        "InputLayer",
        "RNN",
        "AbstractRNNCell",
        "GRUCell",
        "LSTMCell",
        "SimpleRNNCell",
        "StackedRNNCells",
    }, rest
    assert len(on_page) == len(set(on_page))
