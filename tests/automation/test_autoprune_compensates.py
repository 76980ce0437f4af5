"""`autoprune(compensate=True)`: candidates with fewer channels are compensated before they are fine-tuned."""

import keras
import numpy as np
import pytest
from support.autoprune_runs import blobs, decided, search
from support.zoo import predict

import keras_prune as kp

pytestmark = pytest.mark.core

ASKED = {"methods": ["channels"], "budget": kp.Budget(params=0.5), "max_drop": 0.9, "fine_tune_epochs": 0}


def candidate(result, name):
    return next(each for each in result.front.candidates if each.name == name)


def test_the_layers_of_candidates_are_fitted_to_those_before(task, quick, tmp_path):
    model, (x, _), _ = task
    found = [search(task, tmp_path / str(each), **ASKED, compensate=each) for each in (False, True)]
    plain, compensated = (candidate(each, "channels-1") for each in found)
    small = plain.load()
    ratios = {name: 1 - small.get_layer(name).units / model.get_layer(name).units for name in ("first", "second")}
    expected = kp.prune_channels(model, ratios=ratios, compensate=x).model
    for one, other in zip(predict(compensated.load(), x), predict(expected, x), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    fresh = blobs(100, 7)[0]
    whole = np.asarray(predict(model, fresh))
    errors = [np.square(np.asarray(predict(each.load(), fresh)) - whole).sum() for each in (plain, compensated)]
    assert errors[1] < 0.5 * errors[0]
    assert "; compensated)" in compensated.done
    assert "compensated" not in plain.done


def test_single_weights_are_not_and_fine_tuning_follows(task, quick, tmp_path):
    arguments = {**ASKED, "methods": ["channels", "weights"], "fine_tune_epochs": 1, "compensate": True}
    result = search(task, tmp_path / "out", **arguments)
    kinds = {each.name.split("-")[0]: "compensated" in each.done for each in result.front.candidates}
    assert kinds == {"dense": False, "channels": True, "weights": False}
    assert decided(search(task, tmp_path / "out", **arguments)) == decided(result)
    with pytest.raises(ValueError, match="compensate=false, and it was made with true"):
        search(task, tmp_path / "out", **{**arguments, "compensate": False})


@pytest.mark.parametrize(
    ("compensate", "wrong", "message"),
    [("weights", False, "compensate='weights'"), (1, False, "compensate=1"), (True, True, "must be finite")],
)
def test_bad_input_is_refused_before_anything_is_written(task, quick, tmp_path, compensate, wrong, message):
    model, (x, y), validation = task
    x = np.where(wrong, np.nan, x).astype("float32")
    with pytest.raises((ValueError, TypeError), match=message):
        search((model, (x, y), validation), tmp_path / "out", **ASKED, compensate=compensate)
    assert not (tmp_path / "out").exists()


def test_methods_are_compared_compensated():
    inputs = keras.Input((8,))
    x = keras.layers.Dense(16, activation="relu", name="first")(inputs)
    x = x + keras.layers.Dense(16, activation="relu", name="branch")(x)
    model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="output")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    data = blobs(200, 0)
    asked = {"methods": ["channels", "layers"], "points": [0.6], "epochs": 0}
    found = [kp.compare_methods(model, data, data, **asked, compensate=each).models for each in (None, data[0])]
    fresh = blobs(100, 7)[0]
    whole = np.asarray(predict(model, fresh))
    for name in ("channels 0.6", "layers 0.6"):
        plain, compensated = (np.square(np.asarray(predict(each[name], fresh)) - whole).sum() for each in found)
        assert compensated < 0.7 * plain
    with pytest.raises(ValueError, match=r"must be inputs\. Received: compensate='weights'"):
        kp.compare_methods(model, data, data, **asked, compensate="weights")
