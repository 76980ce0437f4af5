"""A report of channels or layers begins with what was asked for and not removed, and has it as a field."""

import json
import warnings

import keras
import pytest
from keras import layers
from support.channel_zoo import residual
from support.depth_zoo import chain

import keras_prune as kp


def mlp(units=(8, 10)):
    dense = [layers.Dense(size, name=f"hidden{index}") for index, size in enumerate(units)]
    return keras.Sequential([keras.Input((6,)), *dense, layers.Dense(2, name="out")])


def stays():
    """A model in which no channel can be removed."""
    return keras.Sequential([keras.Input((6,)), layers.Dense(2, name="out")])


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (lambda: mlp((20, 40)), {"ratio": 0.95}, "Less was removed than was asked for: 54 channels, not 57"),
        (mlp, {"ratio": 0.9, "max_ratio": 0.5}, "Less was removed than was asked for: 9 channels, not 16"),
        (
            mlp,
            {"ratio": 0.9, "max_ratio": 0.5, "scope": "global"},
            "Less was removed than was asked for: 9 channels, not 16",
        ),
        (mlp, {"ratio": 0.5, "min_channels": 9}, "Less was removed than was asked for: 1 channels, not 9"),
        (mlp, {"ratio": 0.5, "min_channels": 10}, "Nothing was removed: 9 channels were asked for"),
        (mlp, {"ratio": 0.05}, "Nothing was removed: the ratio is less than one channel of each group"),
        (mlp, {"ratio": 0.5, "round_to": 16}, "Nothing was removed: `round_to=16` keeps what should have been removed"),
        (
            mlp,
            {"ratios": {"out": 0.5}},
            "Nothing was removed: 1 channels were asked for. No channel can be removed from 'out' (",
        ),
        (mlp, {"ratios": {"out": 0.5, "hidden0": 0.5}}, "Less was removed than was asked for: 4 channels, not 5"),
        (stays, {"ratio": 0.5}, "Nothing was removed: no group has a channel that can be removed"),
    ],
)
def test_less_than_asked_is_the_first_line_and_a_field(model, arguments, message):
    report = kp.prune_channels(model(), **arguments).report
    assert report.missed[0].startswith(message)
    assert str(report).startswith(report.missed[0])
    assert report.to_markdown().replace("\\", "").startswith(message)
    assert message.split("`")[0] in report._repr_html_().split("<table>")[0].replace("&#x27;", "'")
    assert json.loads(report.to_json())["missed"] == list(report.missed)


@pytest.mark.parametrize(
    "arguments",
    [
        {"ratio": 0.0},
        {"ratio": 0.5},
        {"ratio": 0.9},
        {"ratio": 0.55},
        {"ratio": 0.5, "round_to": 4},
        {"ratio": 0.5, "scope": "global"},
        {"ratio": 0.5, "scope": "isomorphic"},
        {"ratio": 0.5, "ratios": {"stem": None}},
        {"ratios": {"stem": None}},
        {"budget": kp.Budget(params=0.7)},
    ],
    ids=str,
)
def test_as_much_as_was_asked_for_is_not_said(arguments):
    model = residual()
    result = kp.prune_channels(model, **arguments)
    assert result.report.missed == ()
    assert not str(result).startswith(("Less", "Nothing"))
    assert kp.prune_channels(model, plan=result.plan).report.missed == ()


def test_steps_say_it_once_at_the_end():
    with pytest.warns(UserWarning, match="Less was removed than was asked for") as record:
        assert len(list(kp.IterativePruning(mlp(), 3, 0.8, max_ratio=0.5))) == 3
    assert sum("Less was removed" in str(each.message) for each in record) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        list(kp.IterativePruning(mlp(), 3, 0.5))


@pytest.mark.parametrize(
    ("ratio", "message"),
    [(0.2, "Nothing was removed: a ratio of 0.2 is less than one of"), (0.0, ""), (0.5, "")],
)
def test_layers_are_reported_alike(ratio, message):
    report = kp.prune_layers(chain(), ratio=ratio).report
    assert bool(report.missed) == bool(message)
    assert str(report).startswith(message)
    assert json.loads(report.to_json())["missed"] == list(report.missed)


def test_a_model_without_candidates_is_said():
    report = kp.prune_layers(stays(), ratio=0.5).report
    assert report.missed == (
        "Nothing was removed: the model has no candidates that a ratio ranks, see `analyze_layers`.",
    )
