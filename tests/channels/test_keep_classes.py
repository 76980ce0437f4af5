"""prune_channels(keep_classes=True): the smaller model is of the same class, and computes what the graph does."""

import re

import keras
import numpy as np
import pytest
from keras import layers
from support.channel_zoo import difference, outputs, randomise
from support.composites import Averaging, Backbone, Counting, Doubling, Feedforward, Heads, Task
from support.versions import needs_keras

import keras_prune as kp
from keras_prune.channels import ChannelPlan


def stack(*composites, width=6):
    """A plain Functional model with composites in it."""
    inputs = keras.Input((3, width))
    hidden = inputs
    for layer in composites:
        hidden = layer(hidden)
    return keras.Model(inputs, hidden, name="stack")


def inputs_of(model, size=5):
    return np.random.default_rng(4).normal(size=(size, *model.input.shape[1:])).astype("float32")


def in_classes(model, *arguments, **options):
    """The result, whose model computes what that of the same plan does without `keep_classes`."""
    randomise(model)
    before = [np.array(keras.ops.convert_to_numpy(weight.value)) for weight in model.weights]
    result = kp.prune_channels(model, *arguments, keep_classes=True, **options)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(weight.value))
    graph = kp.prune_channels(kp.expand(model), plan=result.plan).model
    x = inputs_of(model)
    assert difference(outputs(result.model, x), outputs(graph, x)) <= 1e-5
    assert type(result.model) is type(model)
    assert result.model.count_params() == graph.count_params()
    return result


@pytest.mark.core
def test_a_model_with_a_constructor_of_its_own(tmp_path):
    model = Backbone(name="backbone")
    model.get_layer("stem").trainable = False
    result = in_classes(model, 0.5)
    small = result.model
    assert small.settings == {**model.settings, "units": 4}
    assert [len(places) for places in result.plan.removed.values()] == [4, 4]
    assert len(set(result.plan.removed.values())) == 2  # which ones they are differs
    assert not small.get_layer("stem").trainable
    assert small.get_layer("norm").trainable
    assert result.report.missed == ()
    small.save(tmp_path / "small.keras")
    again = keras.saving.load_model(tmp_path / "small.keras")
    assert type(again) is Backbone
    x = inputs_of(model)
    assert difference(outputs(again, x), outputs(small, x)) <= 1e-6


@pytest.mark.core
def test_a_size_that_counts_each_channel_twice():
    assert in_classes(Backbone(gated=True, units=12), 0.5).model.settings["units"] == 6


@pytest.mark.core
def test_composites_in_a_plain_model_have_sizes_of_their_own():
    between = layers.Dense(6, name="between"), layers.Dense(6)
    model = stack(Feedforward(8, name="one"), *between, Feedforward(12, name="two"))
    result = in_classes(model, 0.5)
    assert [result.model.get_layer(name).units for name in ("one", "between", "two")] == [4, 6, 6]
    assert "`keep_classes` changes 'units' of Feedforward only" in result.report.frozen["between"]


@pytest.mark.core
@needs_keras("3.15")  # before it a layer that is set on a Functional model is none of its layers
def test_a_task_on_a_backbone_shares_what_has_no_weights():
    preprocessor = Doubling()
    preprocessor.factor = 2.0
    task = Task(Backbone(name="backbone"), preprocessor, classes=3)
    small = in_classes(task, 0.5).model
    assert small.backbone.settings["units"] == 4
    assert small.preprocessor is preprocessor
    assert task.backbone.settings["units"] == 8


def test_the_report_says_what_was_changed_and_what_was_not():
    text = str(in_classes(Backbone(name="backbone"), 0.5))
    assert "'backbone' (Backbone) keeps its class, with units=4" in text
    assert "'backbone:width' stays as it is: other models read it" in text


@pytest.mark.parametrize(
    "options",
    [
        {"ratio": 0.4},
        {"ratio": 0.4, "scope": "global"},
        {"ratio": 0.6, "round_to": 4},
        {"budget": kp.Budget(params=0.8)},
        {"ratios": {"block*": 0.7}},
        {"threshold": kp.MeanThreshold(0.3)},
        {"ratio": 0.5, "recalibrate": np.zeros((8, 3, 4), "float32")},
    ],
    ids=lambda options: ", ".join(options),
)
def test_blocks_of_one_size_keep_equally_many(options):
    result = in_classes(Backbone(), **options)
    counts = [group.after for group in result.report.groups if group.after < group.before]
    assert len(counts) == 2
    assert len(set(counts)) == 1
    assert counts[0] == result.model.settings["units"]
    if "budget" in options:
        assert result.report.parameters_after <= 0.8 * result.report.parameters_before
    if "threshold" in options:
        limits = result.choice.thresholds
        below = [int((result.choice.scores[name] < each.value).sum()) for name, each in limits.items()]
        assert 8 - counts[0] == min(below)


def test_steps_keep_the_class():
    model = randomise(Backbone())
    found = [(type(small), small.settings["units"]) for small in kp.IterativePruning(model, 2, 0.5, keep_classes=True)]
    assert found == [(Backbone, 6), (Backbone, 4)]  # 8 * 0.5 ** 0.5 is 5.7: 2.3 fewer, rounded down


def test_explain_says_why_other_channels_were_kept():
    between = layers.Dense(6, name="between"), layers.Dense(6)
    model = stack(Feedforward(8, name="one"), *between, Feedforward(12, name="two"))
    parts = {part.group: part for part in kp.explain(model, kp.prune_channels(model, 0.5, keep_classes=True)).parts}
    assert parts["between"].reason == "cannot be removed: `keep_classes` changes 'units' of Feedforward only"
    assert [part.cut.removed for part in parts.values() if part.cut.removed] == [4, 6]


@pytest.mark.core
def test_inputs_of_open_sizes():
    """The graph has a constant of the size for which it was written out: it is no parameter of the class."""
    inputs = keras.Input((None, 4), name="inputs")
    model = randomise(keras.Model(inputs, Feedforward(8, name="one")(Counting()(inputs)), name="open"))
    result = kp.prune_channels(model, 0.5, keep_classes=True)
    assert result.sizes == {"inputs": [8, 4]}
    report = result.report
    assert (report.parameters_before, report.parameters_after) == (model.count_params(), result.model.count_params())
    parts = {part.group: part for part in kp.explain(model, result).parts}
    assert parts["one__first"].cut.removed == 4


@pytest.mark.core
@pytest.mark.parametrize("importance", ["l2", "reconstruction"])
def test_compensation_goes_into_the_class(importance):
    model = randomise(Backbone())
    x = np.random.default_rng(2).normal(size=(64, 3, 4)).astype("float32")
    data = {"data": x} if importance == "reconstruction" else {}
    plain = kp.prune_channels(model, 0.5, keep_classes=True, importance=importance, **data)
    fitted = kp.prune_channels(model, 0.5, keep_classes=True, importance=importance, compensate=x, **data)
    assert fitted.plan.removed == plain.plan.removed
    assert type(fitted.model) is Backbone
    assert {"block0__second", "block1__second"} <= {refit.layer for refit in fitted.report.compensated}
    graph = kp.prune_channels(kp.expand(model), plan=fitted.plan, compensate=x).model
    assert difference(outputs(fitted.model, x), outputs(graph, x)) <= 1e-4
    dense = outputs(model, x)[0]
    lost, left = (np.square(outputs(each.model, x)[0] - dense).sum() for each in (plain, fitted))
    assert left < 0.5 * lost


def test_a_plan_is_replayed():
    model = Backbone()
    result = in_classes(model, 0.5)
    again = kp.prune_channels(model, plan=result.plan, keep_classes=True).model
    x = inputs_of(model)
    assert difference(outputs(again, x), outputs(result.model, x)) <= 1e-6
    first, second = result.plan.removed
    uneven = ChannelPlan(result.plan.fingerprint, {first: (0,), second: (0, 1)})
    with pytest.raises(ValueError, match=r"must keep equally many\. Received: \[6, 7\]"):
        kp.prune_channels(model, plan=uneven, keep_classes=True)


@pytest.mark.core
def test_importance_with_data_and_the_loss_of_the_model():
    model = Backbone()
    model.compile("sgd", "mse")
    data = inputs_of(model), np.zeros((5, 3, 6), "float32")
    assert in_classes(model, 0.5, importance="taylor", data=data).model.settings["units"] == 4


@pytest.mark.parametrize("ratios", [{"block0*": 0.5}, {"block0*": 0.5, "block1*": 0.25}, {"block1*": None}])
def test_blocks_of_one_size_take_one_ratio(ratios):
    with pytest.raises(ValueError, match=r"must give all layers of one size the same: 'units' of .*Received: ratios="):
        kp.prune_channels(Backbone(), 0.5, ratios=ratios, keep_classes=True)


def test_a_size_that_changes_others_is_refused():
    kp.channels.register_composite(Heads, "heads")
    model = stack(Heads(4, name="attention"), width=8)
    with pytest.raises(ValueError, match="'attention:heads': sizes that depend on it change otherwise than it does"):
        kp.prune_channels(model, 0.5, keep_classes=True)
    both = stack(Heads(4, name="attention"), Feedforward(8, name="feedforward"), width=8)
    result = in_classes(both, 0.5)
    assert (result.model.get_layer("attention").heads, result.model.get_layer("feedforward").units) == (4, 4)
    assert any("'attention:heads' stays as it is" in line for line in result.report.expanded)


@pytest.mark.core
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.get_layer("stem").enable_lora(2), "with LoRA in '"),
        (lambda model: model.get_layer("stem").quantize("int8"), "with quantised weights in '"),
    ],
)
def test_weights_that_are_added_later_are_refused(change, message):
    model = Backbone(name="backbone")
    change(model)
    with pytest.raises(ValueError, match="prune before `enable_lora` and `quantize`") as caught:
        kp.prune_channels(model, 0.5, keep_classes=True)
    assert re.search(message, str(caught.value))


def test_a_class_that_computes_something_else_with_another_size_is_refused():
    with pytest.raises(ValueError, match="Functional computes something else than the graph of its weights"):
        kp.prune_channels(randomise(stack(Averaging(8))), 0.5, keep_classes=True)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: stack(Doubling()), "Doubling has no rule that says which of its sizes can be smaller"),
        (lambda: stack(layers.Dense(3)), "the model, of Keras's classes alone, has no rule"),
        (lambda: keras.Sequential([keras.Input((3,)), layers.Dense(2)]), "has no rule"),
    ],
)
def test_without_a_rule(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        kp.prune_channels(build(), 0.5, keep_classes=True)
    assert "Leave `keep_classes` out" in str(caught.value)
    assert "Received: " in str(caught.value)


def test_a_size_that_is_none():
    class Wrong(Feedforward):
        pass

    kp.channels.register_composite(Wrong, "width")
    with pytest.raises(ValueError, match=r"must be a number in its configuration\. Received: width=None"):
        kp.prune_channels(stack(Wrong(8)), 0.5, keep_classes=True)


@pytest.mark.parametrize(
    ("arguments", "error"), [((3, "units"), TypeError), ((Feedforward, 3), TypeError), ((Feedforward,), ValueError)]
)
def test_bad_rules(arguments, error):
    with pytest.raises(error, match="Received: "):
        kp.channels.register_composite(*arguments)
    for call in (kp.prune_channels, lambda model, ratio, **given: kp.IterativePruning(model, 2, ratio, **given)):
        with pytest.raises(ValueError, match="`keep_classes` must be True or False"):
            call(Backbone(), 0.5, keep_classes="yes")
