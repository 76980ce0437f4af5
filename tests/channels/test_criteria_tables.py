"""The tables of criteria are those of the registry, and say what is true of the functions."""

import importlib.util
import inspect
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers
from support.importance_oracles import raw, scores, values

import keras_prune as kp
from keras_prune.channels import ChannelImportance
from keras_prune.importance.registry import CRITERIA, names, takes_statistics, weight_scorer
from keras_prune.masking.masked_weights import find_masked
from keras_prune.measurement.weight_statistics import ModelStatistics, SingleWeights

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLES = {"weights": kp.PruningSchedule, "channels": ChannelImportance}


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("criteria_tool", ROOT / "tools" / "criteria.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_up_to_date(tool, capsys):
    status = tool.main(["--check"])
    assert status == 0, f"run `python tools/criteria.py`:\n{capsys.readouterr().out}"


def test_check_prints_what_differs_and_writes_nothing(tool, monkeypatch, capsys):
    before = {name: (ROOT / name).read_text() for name, *_ in tool.PLACES}
    monkeypatch.setattr(tool, "CRITERIA", {**CRITERIA, "l2": CRITERIA["l1"]})
    assert tool.main(["--check"]) == 1
    assert '-    | `"l2"` | | `sqrt(sum m²)` | | Li et al. 2017 |' in capsys.readouterr().out
    assert before == {name: (ROOT / name).read_text() for name in before}


def test_a_passage_that_is_missing_is_an_error(tool):
    with pytest.raises(ValueError, match=r"one passage of criteria.*Received: 0"):
        tool.with_table("no table", "weights")


@pytest.mark.parametrize("what", TABLES)
def test_rows_are_those_of_the_registry(what):
    rows = [line[1:-1].split("|") for line in inspect.getdoc(TABLES[what]).splitlines() if line.startswith("| `")]
    assert [row[0].strip(' `"') for row in rows[1:]] == names(what)
    assert {len(row) for row in rows} == {5}


def test_prune_channels_lists_every_name():
    listed = re.search(r"Of the weights alone: (.*?) +scope: ", inspect.getdoc(kp.prune_channels), re.S)
    assert sorted(re.findall(r'"(\w+)"', listed[1])) == sorted(names("channels"))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    network = [keras.Input((6, 3)), layers.Conv1D(4, 2, name="conv"), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential(
        [*network, layers.Flatten(), layers.Dense(5, "relu", name="dense"), layers.Dense(2, name="out")]
    )


DATA = np.random.default_rng(0).normal(size=(16, 6, 3)), np.random.default_rng(1).normal(size=(16, 2))


@pytest.mark.parametrize("name", names("channels"))
def test_every_name_scores_channels(name, model):
    given = {"data": DATA, "loss": "mse"} if CRITERIA[name].needs else {}
    assert kp.prune_channels(model, 0.5, importance=name, **given).plan.removed.keys() == {"conv", "dense"}


@pytest.mark.parametrize("name", names("weights"))
def test_every_name_scores_weights(name, model):
    masked = kp.wrap_pruning(model, movement=name == "movement")
    given = {"data": DATA, "loss": "mse"} if CRITERIA[name].needs.startswith("data") else {}
    pruned = kp.prune_weights(masked, 0.5, importance=name, **given)
    assert kp.summary(pruned).prunable_sparsity == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", CRITERIA)
def test_needs_are_those_of_the_function(name):
    criterion = CRITERIA[name]
    assert criterion.of_weights or criterion.of_channels
    if name != "random":  # a class
        assert takes_statistics(criterion.function) == bool(criterion.needs)


def mlp(factor=1.0):
    """The first layer times a factor, the second divided by it: the same function."""
    keras.utils.set_random_seed(2)
    network = [keras.Input((5,)), layers.Dense(6, "relu", name="first"), layers.Dense(4, "relu", name="second")]
    model = keras.Sequential([*network, layers.Dense(2, name="out")])
    first, second = model.get_layer("first"), model.get_layer("second")
    first.kernel.assign(values(first.kernel) * factor)
    second.kernel.assign(values(second.kernel) / factor)
    return model


def all_scores(name, what, model, data):
    if what == "channels":
        return scores(model, name, data, "mse")
    wrapped = kp.wrap_pruning(model)
    statistics = ModelStatistics(wrapped, data, "mse")
    return {each.path: weight_scorer(name)(SingleWeights(each), statistics) for each in find_masked(wrapped)}


# Without movement, which depends on how training goes.
COMPARABLE = [(name, what) for what in TABLES for name in names(what) if CRITERIA[name].compares_layers(what)]


@pytest.mark.parametrize(("name", "what"), [pair for pair in COMPARABLE if "movement" not in pair])
def test_comparable_scores_do_not_depend_on_the_scale_of_a_layer(name, what, rng):
    data = rng.normal(size=(32, 5)).astype("float32"), rng.normal(size=(32, 2)).astype("float32")
    found, scaled = (all_scores(name, what, mlp(factor), data) for factor in (1.0, 4.0))
    assert len(found) == (2 if what == "channels" else 3)
    for key, expected in found.items():
        np.testing.assert_allclose(scaled[key], expected, rtol=1e-3, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", ["magnitude", "l2", "mean_activation", "gradient", "apoz"])
def test_other_scores_do(name, rng):
    what = "weights" if CRITERIA[name].of_weights else "channels"
    data = rng.normal(size=(32, 5)).astype("float32"), rng.normal(size=(32, 2)).astype("float32")
    found, scaled = (
        all_scores(raw(name) if what == "channels" else name, what, mlp(factor), data) for factor in (1, 4)
    )
    assert not all(np.allclose(scaled[key], expected, rtol=0.1) for key, expected in found.items())
