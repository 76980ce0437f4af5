"""What prunes less than it was asked to says so, once; what prunes as much, to whole weights, says nothing."""

import keras
import pytest
from keras import layers

import keras_prune as kp
from keras_prune.reporting.unmet import fewer_than_asked, less_than_asked, short_list

pytestmark = pytest.mark.core


@pytest.fixture
def model():
    return keras.Sequential(
        [keras.Input((8,)), layers.Dense(16, name="a"), layers.Dense(5, name="b"), layers.Dense(1, name="c")]
    )


def unmet(record):
    return [str(each.message) for each in record if " pruned" in str(each.message)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"selection": kp.Threshold(1e-9)}, r"Nothing was pruned: Threshold\(value=1e-09\) keeps every weight"),
        ({"selection": kp.RelativeThreshold(1e-9)}, r"Nothing was pruned: RelativeThreshold\(fraction=1e-09\)"),
        ({"selection": kp.StdThreshold(1e-9)}, r"Nothing was pruned: StdThreshold\(factor=1e-09\)"),
        (
            {"sparsity": 0.4, "selection": kp.Block((8, 16)), "targets": {"b": None, "c": None}},
            "Nothing was pruned: 40.00%",
        ),
        (
            {"sparsity": 0.4, "selection": kp.Block((8, 16))},
            "Less was pruned than was asked for: .* prunes no more of 'a/kernel'",
        ),
    ],
    ids=["threshold", "relative", "deviations", "one block", "blocks"],
)
def test_one_shot_pruning_says_what_it_did_not_reach(model, arguments, message):
    with pytest.warns(UserWarning, match=message) as record:
        kp.strip_pruning(kp.prune_weights(model, **arguments))
    assert len(unmet(record)) == 1
    assert [each.filename for each in record if " pruned" in str(each.message)] == [__file__]


@pytest.mark.parametrize(
    "arguments",
    [
        {"sparsity": 0.0},
        {"sparsity": 0.77},
        {"sparsity": 0.999},
        {"sparsity": 0.5, "targets": "erk"},
        {"sparsity": 0.3, "targets": {"a": 0.8, "b": "erk", "c": None}},
        {"sparsity": 0.5, "selection": kp.Percentile("global")},
        {"selection": kp.NByM(2, 4), "targets": {"b": None}},
        {"sparsity": 0.5, "selection": kp.Block((4, 1)), "targets": {"b": None}},
        {"selection": kp.Threshold(0.0)},
        {"selection": kp.Threshold(0.05)},
    ],
    ids=str,
)
def test_as_much_as_was_asked_for_is_not_said(model, arguments, recwarn):
    kp.prune_weights(model, **arguments)
    assert unmet(recwarn) == []


def test_ties_are_broken_so_they_miss_nothing(recwarn):
    model = keras.Sequential([keras.Input((10,)), layers.Dense(1, kernel_initializer="ones")])
    assert kp.summary(kp.prune_weights(model, 0.5)).prunable_sparsity == 0.5
    assert unmet(recwarn) == []


def test_the_last_round_says_what_it_did_not_reach(model):
    loop = kp.IterativeMagnitude(kp.wrap_pruning(model), rounds=2, selection=kp.Threshold(1e-9), trained=True)
    with pytest.warns(UserWarning, match="Nothing was pruned: Threshold") as record:
        assert len(list(loop)) == 2
    assert len(unmet(record)) == 1


def test_clusters_that_share_nothing_are_said(model, recwarn):
    with pytest.warns(UserWarning, match=r"No weight shares its value .* Received: clusters=128"):
        kp.cluster_weights(model, 128)
    recwarn.clear()
    kp.cluster_weights(model, 127)
    assert not any("shares" in str(each.message) for each in recwarn)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["a", "norm"], "A part of `layers` gives no layer a mask.*Received: 'norm'"),
        ([layers.Dense, layers.LSTM], "A part of `layers` gives no layer a mask.*Received: .*LSTM"),
        ("norm", "No layer of .* has masks.*Received: layers='norm'"),
        (lambda layer: False, "No layer of .* has masks"),
    ],
    ids=["pattern", "class", "only pattern", "function"],
)
def test_layers_that_get_no_mask_are_said(chosen, message):
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(4, name="a"), layers.BatchNormalization(name="norm"), layers.Dense(2)]
    )
    with pytest.warns(UserWarning, match=message):
        kp.wrap_pruning(model, layers=chosen)


def test_layers_that_get_masks_or_have_them_are_not_said(model, recwarn):
    wrapped = kp.wrap_pruning(model, layers=["a", layers.Dense])
    kp.wrap_pruning(wrapped, layers=lambda layer: False)
    kp.wrap_pruning(wrapped, layers="b")
    kp.prune_weights(wrapped, 0.5)
    assert not [each for each in recwarn if "mask" in str(each.message)]


def test_sentences():
    assert less_than_asked(0.5, 0.0, "it", "So.") == "Nothing was pruned: 50.00% of it was asked for. So."
    assert less_than_asked(0.5, 0.25, "it", "So.").startswith(
        "Less was pruned than was asked for: 25.00% of it, not 50"
    )
    assert fewer_than_asked(1200, 0, "channels", "So.") == "Nothing was removed: 1,200 channels were asked for. So."
    assert fewer_than_asked(12, 5, "channels", "So.").startswith(
        "Less was removed than was asked for: 5 channels, not 12"
    )
    assert short_list(["a", "b", "c"]) == "'a', 'b', 'c'"
    assert short_list(list("abcde")) == "'a', 'b', 'c' and 2 more"
