"""Pruning in steps ends where pruning at once does."""

import dataclasses
import inspect

import keras
import numpy as np
import pytest
from keras import ops
from support.channel_zoo import randomise, residual

import keras_prune as kp
from keras_prune.channels.request import ChannelRequest


def sizes(report):
    return {group.name: group.after for group in report.groups}


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "arguments",
    [
        {"ratio": 0.5},
        {"ratio": 0.7, "scope": "global"},
        {"ratio": 0.6, "scope": "isomorphic"},
        {"ratios": {"stem": 0.5, "narrow1": None}},
        {"ratio": 0.95, "max_ratio": 0.5},
    ],
)
@pytest.mark.filterwarnings("ignore:Less was")
def test_the_ratio_is_that_of_the_first_model(steps, arguments):
    model = randomise(residual())
    pruning = kp.IterativePruning(model, steps, importance="random", **arguments)
    assert len(list(pruning)) == len(pruning) == steps
    at_once = sizes(kp.prune_channels(model, importance="random", **arguments).report)
    last = sizes(pruning.results[-1].report)
    if arguments.get("scope") is None:
        assert last == at_once
    assert sum(last.values()) == sum(at_once.values())
    parameters = [result.report.parameters_after for result in pruning.results]
    assert parameters == sorted(parameters, reverse=True)


@pytest.mark.parametrize("steps", [1, 4])
def test_the_budget_is_that_of_the_first_model(steps):
    model = randomise(residual())
    pruning = kp.IterativePruning(model, steps, budget=kp.Budget(macs=0.3))
    list(pruning)
    before = kp.prune_channels(model, 0.0).report.macs_before
    after = [result.report.macs_after for result in pruning.results]
    assert after[-1] <= 0.3 * before
    for step, count in enumerate(after, 1):
        assert count <= before * 0.3 ** (step / steps)
    assert after[0] > 0.3 * before or steps == 1


@pytest.mark.core
def test_each_model_is_made_from_the_one_before_as_it_was_trained():
    model = randomise(residual())
    before = [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]
    pruning = iter(kp.IterativePruning(model, 2, 0.5))
    first = next(pruning)
    assert not first.compiled
    first.compile("sgd", "mse")
    first.get_layer("out").bias.assign([7, 8, 9])
    last = next(pruning)
    assert ops.convert_to_numpy(last.get_layer("out").bias).tolist() == [7, 8, 9]
    assert not last.compiled
    after = [ops.convert_to_numpy(weight) for weight in model.weights]
    assert all(map(np.array_equal, before, after))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0, "ratio": 0.5}, "`steps`"),
        ({"steps": 2.0, "ratio": 0.5}, "`steps`"),
        ({"steps": 2}, "Pass `ratio`"),
        ({"steps": 2, "ratio": 1.0}, r"\[0, 1\)"),
        ({"steps": 2, "budget": kp.Budget(latency=0.5)}, "cannot be reached in steps"),
        (
            {"steps": 2, "budget": kp.Budget(bytes=0.5)},
            "cannot be reached in steps: count `macs`, `params` or `weight_bytes`",
        ),
        ({"steps": 2, "ratio": 0.5, "scope": "all"}, "`scope`"),
        ({"steps": 2, "ratio": 0.5, "importance": "l3"}, "`importance` must be one of"),
    ],
)
def test_bad_arguments_raise_before_the_loop(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        kp.IterativePruning(residual(), **arguments)
    assert "Received: " in str(caught.value)


def test_arguments_and_defaults_are_those_of_prune_channels():
    """Both are written out, for the sake of `help` and editors; so nothing but this keeps them alike."""
    once = dict(inspect.signature(kp.prune_channels).parameters)
    steps = dict(inspect.signature(kp.IterativePruning).parameters)
    assert set(once) - set(steps) == {"plan"}
    assert set(steps) - set(once) == {"steps"}
    shared = [name for name in once if name != "plan"]
    assert [name for name in steps if name != "steps"] == shared
    assert [steps[name] for name in shared] == [once[name] for name in shared]  # kind, default and type
    request = dataclasses.fields(ChannelRequest)  # which both fill by position
    assert [field.name for field in request] == [*list(once)[1:], "original"]
    assert [field.default for field in request[:-1]] == [each.default for each in list(once.values())[1:]]
    text = inspect.getdoc(kp.IterativePruning)
    for name in shared[1:]:
        assert f"\n    {name}: " in text


def test_unbuilt_models():
    with pytest.raises(ValueError, match="no weights yet"):
        kp.IterativePruning(keras.Sequential([keras.layers.Dense(3)]), 2, 0.5)
