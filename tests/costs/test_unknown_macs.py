"""Where nothing says what an operation multiplies, no report counts it as nothing."""

import keras
import numpy as np
import pytest
from keras import layers
from support import channel_zoo
from support.opaque import opaque

import keras_prune as kp
from keras_prune.automation.goal import Goal
from keras_prune.automation.pareto import Candidate
from keras_prune.costs.macs_change import unknown_macs

pytestmark = pytest.mark.core


@keras.saving.register_keras_serializable(package="unknown_macs")
class Mix(layers.Layer):
    """A layer of one's own that multiplies, and keeps the shape."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        return opaque(x) @ self.kernel

    def compute_output_shape(self, shape):
        return shape


@keras.saving.register_keras_serializable(package="unknown_macs")
class Cell(layers.SimpleRNNCell):
    """One of which no rule says that it computes no more than its parent."""


def conv(filters, name, size=3):
    return layers.Conv2D(filters, size, padding="same", name=name)


def inside():
    inputs = keras.Input((8, 8, 4))
    return keras.Model(inputs, Mix(name="mix")(conv(4, "conv")(inputs)), name="inside")


# What stands between two convolutions: the path of what is unknown of it; how many of the 4 channels that it reads
# are left of half; the products of it that are known, for each of these.
MIDDLES = {
    "lambda": (lambda: layers.Lambda(lambda x: opaque(x) * 2.0, output_shape=(8, 8, 4), name="twice"), "twice", 4, 0),
    "own": (lambda: Mix(name="mix"), "mix", 4, 0),
    "nested": (inside, "inside/mix", 2, 64 * 9 * 4),
}


def around(middle):
    """Convolutions around it. Those of the channels that reach what is unknown stay."""
    inputs = keras.Input((8, 8, 3))
    x = conv(4, "second", 1)(conv(6, "first")(inputs))
    x = conv(8, "third")(middle(x))
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.GlobalAveragePooling2D()(x)))


def products(first, second, third, own=0):
    """What the layers multiply, by hand."""
    return 64 * (9 * 3 * first + first * second + 9 * 4 * third) + third * 2 + own * second


@pytest.mark.parametrize("name", MIDDLES)
def test_channels(name):
    build, path, left, own = MIDDLES[name]
    model = around(build())
    result = kp.prune_channels(model, 0.5)
    report, before, after = result.report, products(6, 4, 8, own), products(3, left, 4, own)
    assert report.macs_before is report.macs_after is None
    assert (report.macs.known_before, report.macs.known_after) == (before, after)
    assert report.macs.saved == before - after > 0  # what is unknown stayed as it is
    assert list(report.macs.unknown) == [path]
    assert report.macs.unknown == kp.cost(model).unknown == kp.cost(result.model).unknown
    assert (kp.cost(model).known_macs, kp.cost(result.model).known_macs) == (before, after)
    text = str(result)
    assert f"MACs: unknown, {before - after:,} fewer; of the others {before:,} -> {after:,}" in text
    assert f"MACs are unknown for:\n  {unknown_macs(report.macs.unknown)[0]}" in text
    assert f"'{path}': no rule for this class" in unknown_macs(report.macs.unknown)[0]
    facts = dict(kp.explain(model, result).facts)
    assert facts["MACs"] == str(report.macs)
    assert [value for name, value in facts.items() if name == "Unknown MACs"] == unknown_macs(report.macs.unknown)


@pytest.mark.parametrize("name", MIDDLES)
def test_a_budget_of_macs_is_refused_and_says_for_what_they_are_unknown(name):
    build, path, *_ = MIDDLES[name]
    model = around(build())
    message = rf"'{path}': no rule for this class.*Received: Budget\(macs=0.5\)"
    for prune in (kp.prune_channels, kp.prune_layers):
        with pytest.raises(ValueError, match=message):
            prune(model, budget=kp.Budget(macs=0.5))
    with pytest.raises(ValueError, match=message):
        kp.IterativePruning(model, 2, budget=kp.Budget(macs=0.5))
    kp.prune_channels(model, budget=kp.Budget(params=0.9))


def branches():
    """Two branches, of which one holds what is unknown."""
    inputs = keras.Input((8, 8, 3))
    x = conv(4, "stem")(inputs)
    x = layers.Add(name="plain")([x, conv(4, "a")(x)])
    x = layers.Add(name="own")([x, Mix(name="mix")(conv(4, "b")(x))])
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.GlobalAveragePooling2D()(x)))


def test_layers():
    model, whole, branch = branches(), 64 * 9 * (3 * 4 + 2 * 4 * 4) + 4 * 2, 64 * 9 * 4 * 4
    macs = kp.prune_layers(model, "plain").report.macs
    assert (macs.before, macs.after, macs.saved) == (None, None, branch)
    assert (macs.known_before, macs.known_after) == (whole, whole - branch)
    result = kp.prune_layers(model, "own")  # what is unknown is removed: so is what was saved
    macs = result.report.macs
    assert (macs.before, macs.after, macs.saved) == (None, whole - branch, None)
    assert macs.unknown == kp.cost(model).unknown
    assert kp.cost(result.model).macs == macs.after
    assert f"MACs: unknown -> {macs.after:,}" in str(result)
    assert "MACs are unknown for:\n  Mix 'mix': no rule" in str(result)
    counted = {each.name: each.macs for each in result.report.candidates}
    assert (counted["plain"], counted["own"]) == (branch, None)
    assert "MACs are unknown for:\n  Mix 'mix': no rule" in str(kp.analyze_layers(model))


def test_one_of_two_that_goes_leaves_the_difference_unknown():
    model = keras.Sequential([keras.Input((5,)), Mix(name="one"), Mix(name="two"), layers.Dense(5), layers.Dense(2)])
    macs = kp.prune_layers(model, "one").report.macs
    assert (macs.before, macs.after, macs.saved, list(macs.unknown)) == (None, None, None, ["one", "two"])
    assert str(macs) == "unknown; of the others 35 -> 35 (100.0% left)"


def test_unknown_sizes():
    """What shrinks there is unknown, so no difference is said; nothing that shrinks is none."""
    inputs = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(conv(4, "second")(conv(8, "first")(inputs)))
    model = keras.Model(inputs, layers.Dense(6, name="third")(layers.Dense(5, name="dense")(x)))
    macs = kp.prune_channels(model, 0.5).report.macs
    assert (macs.before, macs.saved, list(macs.unknown)) == (None, None, ["first", "second"])
    assert (macs.known_before, macs.known_after) == (4 * 5 + 5 * 6, 2 * 3 + 3 * 6)  # of 5 go 2
    stays = kp.prune_channels(model, ratios={"dense": 0.5}).report.macs
    assert stays.saved == (4 * 5 + 5 * 6) - (4 * 3 + 3 * 6)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.RNN(Cell(4), name="mine"),
        lambda: layers.RNN([layers.LSTMCell(3), Cell(4)], name="mine"),
        lambda: layers.TimeDistributed(Mix(), name="mine"),
        lambda: layers.Bidirectional(layers.RNN(Cell(4)), name="mine"),
        lambda: layers.SpectralNormalization(Mix(), name="mine"),
    ],
)
def test_parts_without_a_rule_leave_the_whole_layer_unknown(layer):
    inputs = keras.Input((7, 4))
    x = layer()(layers.Dense(4, name="before")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(6, name="after")(layers.Flatten()(x))))
    report = kp.prune_channels(model, 0.5).report
    assert list(report.macs.unknown) == ["mine"]
    assert report.macs.unknown == kp.cost(model).unknown
    assert report.macs.saved > 0
    for group in report.groups:
        assert (group.macs_before is None) == group.name.startswith("mine")


def test_a_rule_that_gave_up_in_the_middle_leaves_the_group_unknown():
    """It told some products, but not all, so the numbers of the group are not those of the layer."""
    inputs = keras.Input((7, 5))
    lstm = layers.LSTM(8, name="mine")
    x = lstm(layers.Dense(5, name="before")(inputs), initial_state=[np.zeros((2, 8), "float32")] * 2)
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.Dense(6, name="after")(x)))
    report = kp.prune_channels(model, 0.5).report
    assert report.macs.unknown == kp.cost(model).unknown
    macs = {group.name: (group.macs_before, group.macs_after) for group in report.groups}
    assert macs == {"before": (7 * 25, 7 * 25), "mine": (None, None), "after": (48, 24), "out": (12, 6)}
    assert report.macs.saved == 24 + 6


def test_quantised_layers():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(6, name="a"), layers.Dense(4, name="b"), layers.Dense(2)])
    model.get_layer("b").quantize("int8")
    report = kp.prune_channels(model, 0.5).report
    assert report.macs.unknown == kp.cost(model).unknown
    assert "quantised" in report.macs.unknown["b"]
    assert report.macs_before is None


def test_a_rule_makes_it_known():
    model = around(Scaled(name="scaled"))
    assert kp.prune_channels(model, 0.5).report.macs_before is None

    @kp.register_rule(Scaled)
    def scaled(call):
        call.multiply(call.operation.kernel, 64)
        call.freeze(call.inputs[0], "its matrix is square")
        return call.fixed()

    report = kp.prune_channels(model, 0.5).report
    assert report.macs_before == products(6, 4, 8) + 64 * 4 * 4
    assert report.macs.unknown == {}
    assert report.macs.saved == report.macs_before - report.macs_after


class Scaled(Mix):
    pass


@pytest.mark.parametrize("build", channel_zoo.EXACT, ids=lambda build: build.__name__)
def test_reports_and_cost_agree(build):
    model = build()
    found, macs = kp.cost(model), kp.prune_channels(model, 0.0).report.macs
    assert (macs.before, macs.known_before, macs.unknown) == (found.macs, found.known_macs, found.unknown)
    assert (macs.after, macs.saved) == (found.macs, 0)


def test_many_are_said_in_few_lines():
    same = {f"conv{index}": f"Conv2D 'conv{index}': a size is unknown" for index in range(5)}
    lines = unknown_macs({**same, "mix": "Mix 'mix': no rule", "odd": "a reason without its name"})
    assert lines == [
        "Conv2D 'conv0', Conv2D 'conv1', Conv2D 'conv2' and 2 more: a size is unknown",
        "Mix 'mix': no rule",
        "'odd': a reason without its name",
    ]


def test_a_search_for_time_counts_parameters_where_macs_are_unknown():
    candidate = Candidate("dense", 0.9, 0.9, 100, 90, 20, 20, None, 2.0, None, "nothing")
    goal = Goal(None, 0.0, kp.Budget(latency=0.5), None)
    assert goal.measure == "macs"
    goal.know(candidate)
    assert goal.measure == "params"
    with pytest.raises(ValueError, match=r"Received: Budget\(macs=0.5\)"):
        Goal(None, 0.0, kp.Budget(macs=0.5), None).know(candidate)
