"""`layer_errors(cache=...)`: what was measured is measured no more, and what belongs to something else is refused."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_prune as kp
from keras_prune.weights import measure_errors

pytestmark = pytest.mark.core


@pytest.fixture
def model():
    parts = [layers.Dense(8, activation="relu", name="a"), layers.Dense(6, name="b"), layers.Dense(3, name="c")]
    return keras.Sequential([keras.Input((6,)), *parts])


@pytest.fixture
def x(rng):
    return rng.normal(size=(64, 6)).astype("float32")


@pytest.fixture
def measured(monkeypatch):
    """The weights that are measured, by path."""
    found, curve = [], measure_errors._curve

    def note(reconstruction, each, *others):
        found.append(each.weight.path)
        return curve(reconstruction, each, *others)

    monkeypatch.setattr(measure_errors, "_curve", note)
    return found


def test_a_second_measurement_takes_what_is_there(model, x, tmp_path, measured):
    path = tmp_path / "errors.json"
    first = kp.layer_errors(model, x, cache=path)
    assert measured == ["a/kernel", "b/kernel", "c/kernel"]
    assert kp.layer_errors(model, x, cache=path) == first == kp.layer_errors(model, x)
    assert len(measured) == 6  # of the last, which has no file


def test_an_interrupted_measurement_continues(model, x, tmp_path, measured, monkeypatch):
    path, curve = tmp_path / "errors.json", measure_errors._curve

    def interrupted(reconstruction, each, *others):
        if each.weight.path == "b/kernel":
            raise KeyboardInterrupt
        return curve(reconstruction, each, *others)

    with monkeypatch.context() as patched:
        patched.setattr(measure_errors, "_curve", interrupted)
        with pytest.raises(KeyboardInterrupt):
            kp.layer_errors(model, x, cache=path)
    measured.clear()
    found = kp.layer_errors(model, x, cache=path)
    assert measured == ["b/kernel", "c/kernel"]
    assert found == kp.layer_errors(model, x)


def test_layers_that_are_measured_later_are_added(model, x, tmp_path, measured):
    path = tmp_path / "errors.json"
    kp.layer_errors(model, x, layers="a", cache=path)
    kp.layer_errors(model, x, layers=["a", "b"], cache=path)
    assert measured == ["a/kernel", "b/kernel"]


def test_errors_of_something_else_are_refused(model, x, tmp_path):
    path = tmp_path / "errors.json"
    kp.layer_errors(model, x, cache=path)
    content = path.read_bytes()
    for arguments in ({"data": x[:32]}, {"selection": kp.NByM(2, 4)}):
        with pytest.raises(ValueError, match=r"of another model, of other data .* Received: cache="):
            kp.layer_errors(**({"model": model, "data": x, "cache": path} | arguments))
    model.layers[0].kernel.assign(np.ones((6, 8)))
    with pytest.raises(ValueError, match=r"Received: cache=.* model="):
        kp.layer_errors(model, x, cache=path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("value", ["NaN", "-1", '"high"', "[]", "null"])
def test_files_that_hold_no_errors_are_refused(model, x, tmp_path, value):
    path = tmp_path / "errors.json"
    kp.layer_errors(model, x, cache=path)
    content = json.loads(path.read_text())
    name = next(iter(content["measured"]))
    ratio = next(iter(content["measured"][name]))
    content["measured"][name][ratio] = "HERE"
    path.write_text(json.dumps(content).replace('"HERE"', value))
    with pytest.raises(ValueError, match="Received: cache="):
        kp.layer_errors(model, x, cache=path)


def test_a_cache_in_no_folder_is_refused_before_anything_is_measured(model, x, tmp_path, measured):
    with pytest.raises(ValueError, match="Received: "):
        kp.layer_errors(model, x, cache=tmp_path / "none" / "errors.json")
    assert not measured
