"""prune_layers(threshold=...): which candidates score below it, and what is said."""

import keras
import numpy as np
import pytest
from keras import layers
from support.depth_zoo import chain, check

import keras_prune as kp

SCORES = {"add0": 1.0, "add1": 4.0, "add2": 0.5, "add3": 10.0}


def branches():
    inputs = keras.Input((6,))
    x = layers.Dense(5, name="stem")(inputs)
    for index in range(4):
        x = layers.Add(name=f"add{index}")([x, layers.Dense(5, activation="relu", name=f"dense{index}")(x)])
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def score(candidate):
    return SCORES[candidate.name]


@pytest.mark.core
@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (1.5, ("add0", "add2")),
        (kp.Threshold(1.5), ("add0", "add2")),
        (1.0, ("add2",)),
        (kp.RelativeThreshold(0.35), ("add0", "add2")),  # below 3.5
        (kp.RelativeThreshold(0.45), ("add0", "add1", "add2")),
        (kp.MeanThreshold(0.75), ("add0", "add2")),  # 3.875 - 0.75 * 3.781 = 1.039
        (kp.MeanThreshold(0.8), ("add2",)),  # 0.850
    ],
    ids=str,
)
def test_what_scores_below_is_removed(threshold, expected):
    result = kp.prune_layers(branches(), threshold=threshold, importance=score)
    assert result.plan.removed == expected
    assert result.report.missed == ()


def test_the_smaller_model_is_that_of_silenced_branches():
    check(branches(), ["dense0", "dense2"], threshold=1.5, importance=score)


@pytest.mark.core
def test_branches_that_change_nothing():
    model = branches()
    for index in (1, 3):
        layer = model.get_layer(f"dense{index}")
        layer.set_weights([weight * 1e-4 for weight in layer.get_weights()])
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    result = kp.prune_layers(model, threshold=0.01, importance="activation_change", data=x)
    assert result.plan.removed == ("add1", "add3")


def test_a_loss_that_falls_is_below_zero():
    result = kp.prune_layers(branches(), threshold=0, importance=lambda candidate: SCORES[candidate.name] - 2)
    assert result.plan.removed == ("add0", "add2")


def test_nothing_below_is_said():
    report = kp.prune_layers(branches(), threshold=0.5, importance=score).report
    assert report.missed == (
        "Nothing was removed: no score is below the threshold 0.5; the lowest, that of 'add2', is 0.5.",
    )
    assert str(report).startswith(report.missed[0])
    none = keras.Sequential([keras.Input((6,)), layers.Dense(2, name="out")])
    for threshold in (0.5, kp.MeanThreshold(1), kp.RelativeThreshold(0.1)):
        assert (
            kp.prune_layers(none, threshold=threshold).report.missed[0].startswith("Nothing was removed: the model has")
        )


def test_what_must_stay_is_said():
    model = chain()
    every = len(kp.analyze_layers(model).ranked)
    report = kp.prune_layers(model, threshold=1e9).report
    kept = every - len(report.removed)
    if kept:
        assert "there would be no valid model" in report.missed[0]
    else:
        assert report.missed == ()


def test_the_report_and_explain_show_it():
    model = branches()
    result = kp.prune_layers(model, threshold=kp.RelativeThreshold(0.25), importance=score)
    assert result.report.threshold == pytest.approx(2.5)
    assert "Asked: to remove what scores below 0.25 of the largest score" in str(result)
    explanation = kp.explain(model, result)
    reasons = {part.candidate: part.reason for part in explanation.parts if part.score is not None}
    assert reasons["add0"] == reasons["add2"] == "below the threshold 2.5"
    assert reasons["add1"] == reasons["add3"] == "not below the threshold 2.5"
    assert dict(explanation.facts)["Requested"] == "to remove what scores below 0.25 of the largest score"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": -1}, "`threshold` must be a number of at least 0"),
        ({"threshold": kp.StdThreshold(1)}, "`StdThreshold` is for single weights"),
        ({"threshold": kp.RelativeThreshold(lambda step: 0.1)}, "`threshold` must be constant"),
        ({"threshold": 0.1, "ratio": 0.5}, "Pass one of `names`, `ratio`, `budget`, `threshold` and `plan`"),
        ({"threshold": 0.1, "names": "add0"}, "Pass one of `names`, `ratio`, `budget`, `threshold` and `plan`"),
    ],
)
def test_bad_thresholds(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        kp.prune_layers(branches(), **arguments)
    assert "Received: " in str(caught.value)
