"""prune_channels(threshold=...): which scores are below it, what keeps channels all the same, and what is said."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from support.channel_zoo import difference, outputs, randomise, residual, zeroed

import keras_prune as kp
from keras_prune.channels import ChannelImportance, ChannelPlan

NORMS = ChannelImportance("l2", normalize="none")
FIRST = [0.1, 1.0, 2.0, 4.0]
SECOND = [0.3, 0.5, 5.0, 10.0, 0.9]


def model_of(*norms):
    """Dense layers whose units have these norms."""
    dense = [layers.Dense(len(each), name=f"hidden{index}") for index, each in enumerate(norms)]
    model = keras.Sequential([keras.Input((6,)), *dense, layers.Dense(2, name="out")])
    rng = np.random.default_rng(0)
    for layer, each in zip(dense, norms, strict=True):
        kernel = rng.normal(size=layer.kernel.shape)
        layer.set_weights([kernel / np.linalg.norm(kernel, axis=0) * each, rng.normal(size=len(each))])
    return model


def removed(model, **arguments):
    result = kp.prune_channels(model, importance=NORMS, **arguments)
    return [result.plan.removed.get(name, ()) for name in ("hidden0", "hidden1")], result


@pytest.mark.core
@pytest.mark.parametrize(
    ("threshold", "scope", "expected"),
    [
        (0.6, "group", [(0,), (0, 1)]),
        (0.6, "global", [(0,), (0, 1)]),
        (kp.Threshold(0.6), "group", [(0,), (0, 1)]),
        (kp.RelativeThreshold(0.26), "group", [(0, 1), (0, 1, 4)]),  # below 1.04, and below 2.6
        (kp.RelativeThreshold(0.26), "global", [(0, 1, 2), (0, 1, 4)]),  # both below 2.6
        (kp.RelativeThreshold(0.26), "isomorphic", [(0, 1, 2), (0, 1, 4)]),
        (kp.MeanThreshold(1), "group", [(0,), ()]),  # means 1.775 and 3.34, deviations 1.451 and 3.776
        (kp.MeanThreshold(0), "group", [(0, 1), (0, 1, 4)]),
        (kp.MeanThreshold(0.7), "global", [(0,), (0, 1)]),  # 2.644 - 0.7 * 3.053 = 0.507
    ],
    ids=str,
)
def test_what_scores_below_is_removed(threshold, scope, expected):
    model = model_of(FIRST, SECOND)
    found, result = removed(model, threshold=threshold, scope=scope)
    assert found == expected
    assert result.report.missed == ()
    x = np.random.default_rng(1).normal(size=(3, 6)).astype("float32")
    assert difference(outputs(result.model, x), outputs(zeroed(model, result.plan), x)) <= 1e-5


def test_a_score_at_the_threshold_is_kept():
    model = model_of(FIRST)
    model.get_layer("hidden0").kernel.assign(np.eye(6, 4) * np.float32([0.25, 0.5, 1.0, 1.0]))
    assert removed(model, threshold=0.5)[0][0] == (0,)
    assert removed(model, threshold=kp.RelativeThreshold(0.5))[0][0] == (0,)


def test_the_default_scores_are_fractions_of_the_mean():
    result = kp.prune_channels(model_of(FIRST, SECOND), threshold=0.2)  # of 1.775, and of 3.34
    assert dict(result.plan.removed) == {"hidden0": (0,), "hidden1": (0, 1)}
    assert kp.prune_channels(model_of(FIRST, SECOND), threshold=0.1).plan.removed == {"hidden0": (0,), "hidden1": (0,)}


@pytest.mark.core
@pytest.mark.parametrize("importance", ["mean_activation", "taylor"])
def test_activations_and_gradients(importance):
    model = model_of([1.0] * 5, [1.0] * 4)
    for name, dead in (("hidden0", [1, 3]), ("hidden1", [0])):
        kernel, bias = model.get_layer(name).get_weights()
        kernel[:, dead] *= 1e-4
        bias[dead] = 0
        model.get_layer(name).set_weights([kernel, bias])
    rng = np.random.default_rng(2)
    data = rng.normal(size=(64, 6)).astype("float32"), rng.normal(size=(64, 2)).astype("float32")
    asked = {"importance": importance, "data": data, "loss": "mse"}
    result = kp.prune_channels(model, threshold=kp.RelativeThreshold(0.01), **asked)
    assert dict(result.plan.removed) == {"hidden0": (1, 3), "hidden1": (0,)}
    below = {name: scores < 0.01 * scores.max() for name, scores in result.choice.scores.items()}
    assert {name: tuple(np.flatnonzero(each)) for name, each in below.items()} == dict(result.plan.removed)


def test_groups_of_another_structure_have_a_largest_score_of_their_own():
    inputs = keras.Input((8, 3))
    x = layers.GlobalAveragePooling1D()(layers.Conv1D(4, 3, name="hidden0")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.Dense(5, name="hidden1")(x)))
    for name, norms in (("hidden0", FIRST), ("hidden1", SECOND)):
        kernel, bias = model.get_layer(name).get_weights()
        scale = np.array(norms) / np.sqrt((kernel**2).sum(axis=tuple(range(kernel.ndim - 1))))
        model.get_layer(name).set_weights([kernel * scale, bias])
    rule = kp.RelativeThreshold(0.26)
    assert removed(model, threshold=rule, scope="isomorphic")[0] == [(0, 1), (0, 1, 4)]
    assert removed(model, threshold=rule, scope="global")[0] == [(0, 1, 2), (0, 1, 4)]


@pytest.mark.parametrize(
    ("arguments", "expected", "message"),
    [
        ({"min_channels": 3}, [(0,), (0, 1)], "Less was removed than was asked for: 3 channels, not 6"),
        ({"max_ratio": 0.25}, [(0,), (0,)], "Less was removed than was asked for: 2 channels, not 6"),
        ({"min_channels": 5}, [(), ()], "Nothing was removed: 6 channels were asked for. `max_ratio=0.9`"),
        ({"round_to": 8}, [(), ()], "Nothing was removed: `round_to=8` keeps what should have been removed"),
        ({"round_to": 4}, [(), (0,)], ""),  # 4 of 4, and 4 of 5: all but those that rounding keeps
        ({"ratios": {"hidden0": None}}, [(), (0, 1, 4)], ""),
        ({"ratios": {"hidden0": 0.25}}, [(0,), (0, 1, 4)], ""),
        ({"ratios": {"out": 0.5}}, [(0, 1, 2), (0, 1, 4)], "Less was removed than was asked for: 6 channels, not 7"),
    ],
    ids=str,
)
def test_limits_hold_and_are_said(arguments, expected, message):
    found, result = removed(model_of(FIRST, SECOND), threshold=2.5, **arguments)
    assert found == expected
    assert bool(result.report.missed) == bool(message)
    assert str(result).startswith(message)


def test_nothing_below_is_said_with_what_comes_nearest():
    _, result = removed(model_of(FIRST, SECOND), threshold=0.05)
    (sentence,) = result.report.missed
    assert sentence == (
        "Nothing was removed by the threshold: no score is below it; that of 'hidden0' is 0.05, its lowest score 0.1."
    )
    _, both = removed(model_of(FIRST, SECOND), threshold=0.2, ratios={"hidden0": 0.5})
    assert both.report.missed[0].startswith("Nothing was removed by the threshold: no score is below it; that of 'hidd")
    stays = keras.Sequential([keras.Input((6,)), layers.Dense(2, name="out")])
    assert kp.prune_channels(stays, threshold=1.0).report.missed == (
        "Nothing was removed by the threshold: no group has a channel that can be removed.",
    )


def test_everything_below_keeps_what_the_limits_keep():
    found, result = removed(model_of(FIRST, SECOND), threshold=100.0)
    assert found == [(0, 1, 2), (0, 1, 2, 4)]  # `max_ratio`
    assert result.report.missed[0].startswith("Less was removed than was asked for: 7 channels, not 9")


def test_no_output_is_emptied():
    model = randomise(residual())
    result = kp.prune_channels(model, threshold=100.0, max_ratio=0.99, min_channels=1)
    assert result.model.count_params() > 0
    assert all(group.after >= 1 for group in result.report.groups)


def test_the_report_has_the_threshold_of_each_group():
    _, result = removed(model_of(FIRST, SECOND), threshold=kp.RelativeThreshold(0.25))
    report = result.report
    assert [group.threshold for group in report.groups] == [pytest.approx(1.0), pytest.approx(2.5), None]
    assert [group.asked for group in report.groups[:2]] == [3, 2]
    assert "Asked: to remove what scores below 0.25 of the largest score" in str(result)
    assert json.loads(report.to_json())["threshold"] == {"fraction": 0.25}
    assert report.records()[1]["threshold"] == pytest.approx(2.5)
    assert kp.prune_channels(model_of(FIRST), 0.5).report.groups[0].threshold is None
    again = kp.prune_channels(model_of(FIRST, SECOND), plan=result.plan)
    assert again.report.missed == ()
    assert again.plan == result.plan


def test_steps_compare_the_scores_of_then():
    model = model_of(FIRST, SECOND)
    pruning = kp.IterativePruning(model, 3, threshold=0.6, importance=NORMS)
    sizes = []
    for small in pruning:
        sizes.append([small.get_layer(name).units for name in ("hidden0", "hidden1")])
        layer = small.get_layer("hidden0")
        layer.kernel.assign(layer.kernel * 0.5)  # stands for the fine-tuning
    assert sizes == [[3, 3], [2, 3], [1, 3]]  # 1, 2, 4 become 0.5, 1, 2, of which 0.5 is removed; 1, 2 become 0.5, 1
    assert pruning.results[-1].report.missed == ()


def test_steps_in_which_nothing_is_ever_below_warn():
    with pytest.warns(UserWarning, match="Nothing was removed by the threshold"):
        list(kp.IterativePruning(model_of(FIRST), 2, threshold=0.01, importance=NORMS))


def test_explain_shows_the_threshold():
    model = model_of(FIRST, SECOND)
    _, result = removed(model, threshold=kp.RelativeThreshold(0.25), min_channels=3)
    explanation = kp.explain(model, result)
    first, second, out = explanation.parts
    assert first.reason == "the 1 lowest of its 4 scores, below the threshold 1"
    assert second.reason.startswith(
        "the 2 lowest of its 5 scores, below the threshold 2.5; 3 were asked for, at most 2"
    )
    assert (first.threshold, second.threshold, out.threshold) == (pytest.approx(1), pytest.approx(2.5), None)
    assert second.reasons[4].startswith("kept, though its rank is 3: 3 were asked for")
    facts = dict(explanation.facts)
    assert facts["Requested"] == "to remove what scores below 0.25 of the largest score"
    assert facts["Limits"] == "min_channels=3"
    assert explanation.records()[0]["threshold"] == pytest.approx(1.0)
    _, none = removed(model, threshold=0.2)
    assert kp.explain(model, none).parts[1].reason == "no score is below the threshold 0.2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": -0.1}, "`threshold` must be a number of at least 0"),
        ({"threshold": float("nan")}, "`threshold` must be a number of at least 0"),
        ({"threshold": "0.1"}, "`threshold` must be a number of at least 0"),
        ({"threshold": True}, "`threshold` must be a number of at least 0"),
        ({"threshold": kp.StdThreshold(1)}, "`StdThreshold` is for single weights"),
        ({"threshold": kp.Percentile()}, "`threshold` must be a number of at least 0"),
        ({"threshold": kp.Threshold(lambda step: 0.1)}, "`threshold` must be constant"),
        ({"threshold": 0.1, "ratio": 0.5}, "Pass `ratio` or `threshold`, not both"),
        ({"threshold": 0.1, "budget": kp.Budget(macs=0.5)}, "Pass `budget` or `threshold`, not both"),
        ({"threshold": 0.1, "plan": ChannelPlan("", {})}, "pass it without"),
    ],
)
def test_bad_thresholds(arguments, message):
    for call in (kp.prune_channels, lambda model, **given: kp.IterativePruning(model, 2, **given)):
        if "plan" in arguments and call is not kp.prune_channels:
            continue
        with pytest.raises(ValueError, match=message) as caught:
            call(model_of(FIRST), **arguments)
        assert "Received: " in str(caught.value)
