"""What is asked of `prune_channels` is checked once, and divided among the steps of an iteration."""

import dataclasses
import itertools

import pytest

import keras_prune as kp
from keras_prune.channels import ChannelImportance, ChannelPlan
from keras_prune.channels.request import ChannelRequest

COSTS = {"macs": 1_000_000, "params": 5000, "bytes": 20_000}
STEPS = 5


def test_names_and_functions_become_an_importance():
    def score(binding):
        return None

    assert ChannelRequest(0.5).score == ChannelImportance("l2")
    assert ChannelRequest(0.5, importance=score).score == ChannelImportance(score)
    own = ChannelImportance("l1", combine="max")
    assert ChannelRequest(0.5, importance=own).score is own


def test_limits_are_those_asked_for():
    given = {"ratio": 0.5, "ratios": {"a": None}, "scope": "global", "round_to": 8, "min_channels": 2, "max_ratio": 0.7}
    request = ChannelRequest(**given, original={"a": 16})
    assert dataclasses.asdict(request.limits) == {**given, "original": {"a": 16}, "threshold": None}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, ValueError, "Pass `ratio`, `budget`, `threshold` or `ratios`, or a `plan`"),
        ({"ratios": {}}, ValueError, "Pass `ratio`, `budget`, `threshold` or `ratios`, or a `plan`"),
        ({"ratio": 0.5, "budget": kp.Budget(macs=0.5)}, ValueError, "not both"),
        ({"ratios": {"a": 0.5}, "plan": ChannelPlan("", {})}, ValueError, "pass it without"),
        ({"budget": 0.5}, TypeError, "`budget` must be a Budget"),
        ({"plan": {}}, TypeError, "`plan` must be a ChannelPlan"),
        ({"ratios": [0.5]}, TypeError, "`ratios` must map"),
        ({"ratio": 0.5, "ratios": {"a": "half"}}, ValueError, r"`ratios\['a'\]` must be a number in \[0, 1\)"),
        ({"ratio": 0.5, "max_ratio": None}, ValueError, r"`max_ratio` must be a number in \[0, 1\)"),
        ({"ratio": True}, ValueError, r"`ratio` must be a number in \[0, 1\)"),
        ({"ratio": 0.5, "round_to": 2.0}, ValueError, "`round_to` must be an integer of at least 1"),
        ({"ratio": 0.5, "min_channels": True}, ValueError, "`min_channels` must be an integer of at least 1"),
        ({"ratio": 0.5, "scope": "layer"}, ValueError, "`scope` must be one of"),
        ({"ratio": 0.5, "importance": "magnitude"}, ValueError, "`importance` must be one of"),
    ],
)
def test_bad_requests(given, error, message):
    with pytest.raises(error, match=message) as caught:
        ChannelRequest(**given)
    assert "Received: " in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("combine", "min"), ("normalize", "std"), ("normalize", None)])
def test_bad_importances(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be one of .*Received: {name}={value!r}"):
        ChannelImportance(**{name: value})


def test_each_step_keeps_the_same_fraction_of_what_the_one_before_kept():
    request = ChannelRequest(0.75, ratios={"a": 0.5, "b": None})
    steps = [request.after(step / STEPS, {}) for step in range(1, STEPS + 1)]
    for whole, found in ((0.75, [step.ratio for step in steps]), (0.5, [step.ratios["a"] for step in steps])):
        kept = [1.0, *(1 - ratio for ratio in found)]
        factors = [after / before for before, after in itertools.pairwise(kept)]
        assert factors == pytest.approx([(1 - whole) ** (1 / STEPS)] * STEPS)
        assert found[-1] == pytest.approx(whole)
    assert {step.ratios["b"] for step in steps} == {None}


@pytest.mark.parametrize("given", [{"macs": 0.3}, {"params": 700, "bytes": 0.5}, {"params": 9000}])
def test_budgets_fall_to_what_was_asked(given):
    budget = kp.Budget(**given)
    request = ChannelRequest(budget=budget, data=[1, 2], strict=True)
    steps = [request.after(step / STEPS, COSTS) for step in range(1, STEPS + 1)]
    assert all(step.data is request.data and step.strict for step in steps)
    for name, target in budget.targets(COSTS).items():
        found = [getattr(step.budget, name) for step in steps]
        assert found == sorted(found, reverse=True)
        assert found[-1] == target
        smooth = [COSTS[name] * (target / COSTS[name]) ** (step / STEPS) for step in range(1, STEPS + 1)]
        assert found == pytest.approx([max(each, target) for each in smooth], abs=1)
