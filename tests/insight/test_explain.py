"""What `explain` says, against masks, plans and orders that are known beforehand."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops
from support import channel_zoo, channel_zoo_layers
from support.zoo import BACKEND, Block, cnn, mlp, nested

import keras_prune as kp
from keras_prune.channels.carry_out import PrunedChannels
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core


def kernels(model):
    """The kernels of a model by path of the layer."""
    return {layer.name: ops.convert_to_numpy(layer.kernel.value) for layer in model.layers if hasattr(layer, "kernel")}


def parts(explanation):
    return {part.name: part for part in explanation.parts}


# Weights.


@pytest.mark.parametrize("strip", [False, True])
def test_weights_have_the_scores_ranks_and_threshold_of_their_magnitude(strip):
    model = cnn()
    pruned = kp.prune_weights(model, 0.7)
    masks = {weight.path: weight.kept() for weight in find_masked(pruned)}
    explanation = kp.explain(model, kp.strip_pruning(pruned) if strip else pruned)
    assert (explanation.kind, explanation.importance) == ("weights", "magnitude")
    assert list(parts(explanation)) == list(masks)
    for path, part in parts(explanation).items():
        magnitude, kept = np.abs(kernels(model)[part.layer]), masks[path]
        np.testing.assert_array_equal(part.scores, magnitude)
        np.testing.assert_array_equal(part.pruned, ~kept)
        np.testing.assert_array_equal(np.sort(part.ranks[part.pruned]), np.arange(1, (~kept).sum() + 1))
        assert part.cut.removed == (~kept).sum()
        assert part.cut.threshold == magnitude[kept].min() >= magnitude[~kept].max() == part.cut.highest_removed
        assert part.reason == f"its {(~kept).sum():,} lowest scores"
    records = explanation.records()
    assert [record["removed"] for record in records] == [(~kept).sum() for kept in masks.values()]


def test_one_threshold_for_all_weights_is_seen():
    model = cnn()
    explanation = kp.explain(model, kp.prune_weights(model, 0.6, selection=kp.Percentile("global")))
    assert {part.reason for part in explanation.parts} == {"the lowest scores of all weights together"}
    highest = max(part.cut.highest_removed for part in explanation.parts)
    assert all(part.cut.lowest_kept >= highest for part in explanation.parts)


@pytest.mark.parametrize(
    ("selection", "sparsity", "text"),
    [
        (kp.NByM(2, 4), None, "2:4 pattern"),
        (kp.NByM(1, 4), None, "1:4 pattern"),
        (kp.Block((4, 1)), 0.5, "blocks of 4x1"),
        (kp.Block((1, 4)), 0.5, "blocks of 1x4"),
        (kp.Block((4, 4)), 0.5, "blocks of 4x4"),
    ],
)
def test_patterns_are_seen_and_that_the_lowest_scores_in_them_were_removed(selection, sparsity, text):
    model = mlp((24,), inputs=32, outputs=16)
    pruned = kp.prune_weights(model, sparsity, selection=selection)
    for part in kp.explain(model, pruned).parts:
        assert part.cut.overlap > 0
        assert part.reason.startswith("the lowest scores in a ")
        assert text in part.reason
    for part in kp.explain(model, pruned, importance=lambda weight: -abs(weight)).parts:
        assert text in part.reason
        assert "another criterion" in part.reason


def test_another_criterion_than_the_one_that_decided_does_not_explain(rng):
    model, x = mlp(), rng.normal(size=(40, 12)).astype("float32") * np.geomspace(0.01, 10, 12).astype("float32")
    pruned = kp.prune_weights(model, 0.5, importance="wanda", data=x)
    first = kp.explain(model, pruned).parts[0]
    assert first.cut.overlap > 10
    assert f"{first.cut.overlap} of them are not among the {first.cut.removed} lowest" in first.reason
    for part in kp.explain(model, pruned, importance="wanda", data=x).parts:
        assert part.cut.overlap == 0


def test_what_was_zero_before_did_not_go():
    model = mlp()
    once = kp.prune_weights(model, 0.4)
    twice = kp.prune_weights(once, 0.8)
    for part, before, after in zip(kp.explain(once, twice).parts, find_masked(once), find_masked(twice), strict=True):
        np.testing.assert_array_equal(part.pruned, before.kept() & ~after.kept())
        np.testing.assert_array_equal(part.alive, before.kept())
        assert part.cut.overlap == 0
        assert (part.ranks[~part.alive] == 0).all()
        assert part.records()[0]["zeros_before"] == (~before.kept()).sum()


def test_nested_and_subclassed_models():
    model = nested()
    explanation = kp.explain(model, kp.prune_weights(model, 0.5))
    assert list(parts(explanation)) == ["encoder/dense/kernel", "decoder/dense/kernel", "dense/kernel"]

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = Block(name="block")

        def call(self, x):
            return self.block(x)

    before, after = Own(), Own()
    for each in (before, after):
        each(np.zeros((1, 4, 6), "float32"))
    after.set_weights(before.get_weights())
    for part in kp.explain(before, kp.prune_weights(after, 0.5)).parts:
        assert part.cut.overlap == 0
        assert part.share == 0.5
    with pytest.raises(ValueError, match="subclassed model cannot be copied"):
        kp.explain(before, after, importance="wanda", data=np.zeros((4, 4, 6), "float32"))
    with pytest.raises(ValueError, match="same model"):
        kp.explain(after, after)


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_movement_is_read_from_the_model_that_was_trained(rng):
    x, y = rng.normal(size=(64, 12)).astype("float32"), rng.normal(size=(64, 4)).astype("float32")
    model = mlp()
    trained = kp.wrap_pruning(model, movement=True)
    trained.compile("sgd", "mse")
    trained.fit(x, y, verbose=0)
    pruned = kp.prune_weights(trained, 0.5, importance="movement")
    assert all(part.cut.overlap == 0 for part in kp.explain(model, pruned, importance="movement").parts)


# Channels.


def test_channels_have_the_scores_that_decided():
    model = cnn()
    result = kp.prune_channels(model, 0.5)
    first, last = kp.explain(model, result).parts
    norms = np.linalg.norm(kernels(model)["conv1"].reshape(-1, 4), axis=0)
    assert (first.group, first.unit, first.before, first.after) == ("conv1", "filters", 4, 2)
    assert first.removed == tuple(sorted(np.argsort(norms)[:2].tolist()))
    np.testing.assert_allclose(first.scores, norms / norms.mean(), rtol=1e-5)
    np.testing.assert_array_equal(first.ranks, np.argsort(np.argsort(norms)) + 1)
    assert first.reason == "the 2 lowest of its 4 scores"
    assert (last.group, last.removed, last.reason) == ("dense", (), "cannot be removed: model output")
    by_channel = kp.explain(model, result).records()[:4]
    assert [row["removed"] for row in by_channel] == first.pruned.tolist()
    assert [row["rank"] for row in by_channel] == first.ranks.tolist()
    assert all(row["reason"].startswith("kept") for row in by_channel if not row["removed"])


def test_random_scores_are_those_of_the_pruning_and_are_not_drawn_again():
    model = mlp()
    result = kp.prune_channels(model, 0.5, importance="random")
    for part in kp.explain(model, result).parts:
        assert part.cut.overlap == 0


def test_heads_are_called_heads():
    inputs = keras.Input((5, 8))
    attended = layers.MultiHeadAttention(4, 3, name="attention")(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(2, name="output")(attended))
    found = {part.group: part.unit for part in kp.explain(model, kp.prune_channels(model, 0.5)).parts}
    assert found == {
        "attention:num_heads": "heads",
        "attention:key_dim": "head dimensions",
        "attention:output": "channels",
        "output": "units",
    }


@pytest.mark.parametrize(
    ("arguments", "removed", "text"),
    [
        ({"ratio": 0.4, "round_to": 4}, 4, "6 were to be removed, but round_to=4 keeps a multiple"),
        (
            {"ratios": {"hidden0": 0.95}},
            14,
            "15 were asked for, at most 14 may be removed (max_ratio=0.9, min_channels=1)",
        ),
        ({"ratios": {"hidden0": 0.5}}, 8, "`ratios` asks for 0.5 of it"),
        ({"ratio": 0.5, "ratios": {"hidden0": None}}, 0, "`ratios` excludes it from pruning"),
        (
            {"ratio": 0.95},
            14,
            "the 14 lowest of its 16 scores; at most 14 may be removed (max_ratio=0.9, min_channels=1)",
        ),
        ({"ratio": 0.3, "scope": "global"}, None, "among the lowest scores of all groups together"),
        ({"ratio": 0.3, "scope": "isomorphic"}, None, "of the groups of the same structure together"),
        ({"ratios": {"hidden1": 0.5}}, 0, "no pruning of it was asked for"),
    ],
)
def test_limits_are_told(arguments, removed, text):
    model = mlp()
    part = kp.explain(model, kp.prune_channels(model, **arguments)).parts[0]
    assert text in part.reason
    assert removed is None or part.cut.removed == removed


def test_each_channel_has_its_own_reason():
    model = mlp()
    part = kp.explain(model, kp.prune_channels(model, 0.4, round_to=4)).parts[0]
    reasons = {int(rank): reason for rank, reason in zip(part.ranks, part.reasons, strict=True)}
    assert {reasons[rank] for rank in range(1, 5)} == {"the 4 lowest of its 16 scores"}
    for rank in (5, 6):
        assert (
            reasons[rank] == f"kept, though its rank is {rank}: 6 were to be removed, but round_to=4 keeps a multiple"
        )
    assert {reasons[rank] for rank in range(7, 17)} == {"kept: higher scores than those removed"}


ZOO = [*channel_zoo.CORE, *channel_zoo_layers.CORE, channel_zoo.flat, channel_zoo.depthwise, channel_zoo.concat]


@pytest.mark.parametrize("build", ZOO, ids=lambda build: build.__name__)
def test_the_plan_is_found_from_the_two_models(build):
    model = build()
    result = kp.prune_channels(model, 0.5)
    explanation = kp.explain(model, result.model)
    assert {part.group: part.removed for part in explanation.parts if part.removed} == result.plan.removed
    assert all(part.cut.overlap == 0 for part in explanation.parts)


def test_after_training_the_plan_must_be_passed():
    model = cnn()
    result = kp.prune_channels(model, 0.5)
    for weight in result.model.trainable_weights:
        weight.assign(weight * 1.1)
    with pytest.raises(ValueError, match=r"plan=result\.plan"):
        kp.explain(model, result.model)
    known = kp.explain(model, result.model, plan=result.plan)
    assert known.parts[0].removed == result.plan.removed["conv1"]
    with pytest.raises(ValueError, match="another structure"):
        kp.explain(mlp(), result.model, plan=result.plan)


def test_a_replayed_plan_is_scored_as_asked():
    model = mlp()
    plan = kp.prune_channels(model, 0.5, importance=lambda binding: -abs(binding.slices()).sum(axis=1)).plan
    result = kp.prune_channels(model, plan=plan)
    assert result.choice is None
    first = kp.explain(model, result).parts[0]
    assert first.cut.overlap > 0
    assert "another criterion or other limits decided" in first.reason
    highest = kp.explain(model, result, importance=lambda binding: -abs(binding.slices()).sum(axis=1)).parts[0]
    assert highest.cut.overlap == 0


def test_steps_are_explained_one_by_one():
    model = mlp()
    steps = kp.IterativePruning(model, 2, 0.5)
    before = model
    for small in steps:
        explanation = kp.explain(before, steps.results[-1])
        assert sum(part.cut.removed for part in explanation.parts) > 0
        assert all(part.cut.overlap == 0 for part in explanation.parts)
        before = small


# Layers.


def residual():
    inputs = keras.Input((8,))
    hidden = inputs
    for name in ("first", "second", "third", "fourth"):
        hidden = hidden + layers.Dense(8, activation="relu", name=name)(hidden)
    return keras.Model(inputs, layers.Dense(2, name="output")(hidden), name="residual")


def test_removed_layers_have_the_lowest_scores():
    model = residual()
    for scale, name in ((3.0, "first"), (0.1, "second"), (2.0, "third"), (0.5, "fourth")):
        kernel = model.get_layer(name).kernel
        kernel.assign(kernel * scale)
    result = kp.prune_layers(model, ratio=0.5)
    explanation = kp.explain(model, result)
    rank = {part.layers: part.rank for part in explanation.parts}
    assert rank == {("first",): 4, ("second",): 1, ("third",): 3, ("fourth",): 2}
    assert [part.layers for part in explanation.parts if part.removed] == [("second",), ("fourth",)]
    assert [part.score for part in explanation.parts] == [each.score for each in result.report.candidates]
    again = kp.explain(model, result.model, plan=result.plan)
    assert [(p.rank, p.removed) for p in again.parts] == [(p.rank, p.removed) for p in explanation.parts]
    assert dict(again.facts)["Scores"].startswith("l2 (the default")


def test_layers_that_were_named_say_so():
    model = residual()
    explanation = kp.explain(model, kp.prune_layers(model, "third"))
    (removed,) = [part for part in explanation.parts if part.removed]
    assert removed.layers == ("third",)
    assert removed.score is None
    assert "names='third'" in removed.reason
    with pytest.raises(ValueError, match="they have other layers"):
        kp.explain(model, kp.prune_layers(model, "third").model)


# What is refused.


def test_the_models_must_belong_together():
    small, large = mlp((4,)), cnn()
    with pytest.raises(ValueError, match="Received"):
        kp.explain(large, small)
    with pytest.raises(TypeError, match="`before`"):
        kp.explain("model", small)
    with pytest.raises(TypeError, match="`after`"):
        kp.explain(small, "model")
    with pytest.raises(TypeError, match="`plan`"):
        kp.explain(small, large, plan="plan")


def test_arguments_that_contradict_are_refused():
    model = mlp()
    result = kp.prune_channels(model, 0.5)
    with pytest.raises(ValueError, match="leave `plan` out"):
        kp.explain(model, result, plan=result.plan)
    with pytest.raises(ValueError, match="leave `importance`"):
        kp.explain(model, result, importance="l1")
    pruned = kp.prune_weights(model, 0.5)
    with pytest.raises(ValueError, match="pass `data`"):
        kp.explain(model, pruned, importance="wanda")
    with pytest.raises(ValueError, match="Random scores"):
        kp.explain(model, pruned, importance="random")
    with pytest.raises(ValueError, match="`importance` must be"):
        kp.explain(model, pruned, importance="size")


def test_nothing_is_changed():
    model = cnn()
    before = [np.array(ops.convert_to_numpy(weight.value)) for weight in model.weights]
    kp.explain(model, kp.prune_weights(model, 0.5), importance="wanda", data=np.ones((4, 8, 8, 2), "float32"))
    result = kp.prune_channels(model, 0.5)
    assert isinstance(result, PrunedChannels)
    kp.explain(model, result.model)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(weight.value))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")
def test_the_table_names_every_part():
    model = cnn()
    text = str(kp.explain(model, kp.prune_weights(model, 0.5)))
    assert "conv1/kernel" in text
    assert "dense/kernel" in text
    assert re.search(r"^ Scores +magnitude \(the default", text, re.M)
    text = str(kp.explain(model, kp.prune_channels(model, 0.5)))
    assert "4 filters" in text
    assert "cannot be removed: model output" in text
