"""Costs are counted right, and a budget takes as few channels as it can."""

import json

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import EXACT, batch, check, difference, outputs, randomise, residual, sizes_unknown, zeroed

import keras_prune as kp
import tflite_export
from keras_prune.channels import ChannelImportance
from keras_prune.channels.plan import ChannelPlan
from keras_prune.costs import exported

# Others have tensors of unknown length, at least as far as Keras says.
UNKNOWN = {"sizes_unknown", "nested_sizes_unknown", "recurrent", "attention", "attention_of_other_values"}
KNOWN = [build for build in EXACT if build.__name__ not in UNKNOWN]


def mlp(units=(8, 10)):
    return keras.Sequential([keras.Input((6,)), *(layers.Dense(size) for size in units), layers.Dense(2, name="out")])


def costs(model):
    report = kp.prune_channels(model, 0.0).report
    return report.macs_before, report.parameters_before


def by_hand(model):
    """MACs of plain convolutions and dense layers, written without anything of the package."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            total += int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:-1]))
    return total


def test_macs_are_those_of_the_formula():
    assert costs(residual())[0] == by_hand(residual())
    assert costs(mlp())[0] == 6 * 8 + 8 * 10 + 10 * 2


def test_macs_are_those_that_the_paper_gives():
    """MobileNet has 569 million at 224 pixels (Howard et al. 2017); at 32 pixels nearly the fraction of the area."""
    found = {}
    for size in (224, 32):
        model = keras.applications.MobileNet((size, size, 3), alpha=0.25, weights=None)
        found[size] = kp.prune_channels(model, 0.0).report.macs_before
    assert found[224] == pytest.approx(41e6, rel=0.02)  # the paper's 0.25 MobileNet-224
    last = 256 * 1000
    assert (found[224] - last) / (found[32] - last) == pytest.approx(49, rel=0.01)


def sequence():
    inputs = keras.Input((7, 5))
    x = layers.LSTM(6, return_sequences=True)(inputs)
    x = layers.MultiHeadAttention(2, 3, value_dim=4, output_shape=5)(x, inputs)
    return keras.Model(inputs, layers.TimeDistributed(layers.Dense(4))(x))


def test_macs_of_attention_and_recurrent_layers():
    lstm = 7 * (5 * 24 + 6 * 24)
    projections = 7 * (6 * 2 * 3 + 5 * 2 * 3 + 5 * 2 * 4 + 2 * 4 * 5)
    scores = 7 * 7 * (2 * 3 + 2 * 4)
    assert costs(sequence())[0] == lstm + projections + scores + 7 * 5 * 4


@pytest.mark.parametrize("build", [*KNOWN, sequence], ids=lambda build: build.__name__)
def test_what_a_plan_costs_is_what_its_model_costs(build):
    model = randomise(build())
    for ratio in (0.3, 0.6):
        result = kp.prune_channels(model, ratio)
        assert result.report.parameters_before == model.count_params()
        assert result.report.parameters_after == result.model.count_params()
        assert result.report.macs_after == costs(result.model)[0] < result.report.macs_before


def test_groups_add_up():
    report = kp.prune_channels(sequence(), 0.5).report
    for name in ("parameters", "macs"):
        for when in ("before", "after"):
            groups = sum(getattr(group, f"{name}_{when}") for group in report.groups)
            assert groups == getattr(report, f"{name}_{when}")


def test_unknown_sizes_leave_macs_unknown():
    report = kp.prune_channels(sizes_unknown(), 0.5).report
    assert report.macs_before is report.macs_after is None
    assert "MACs: unknown" in str(report)
    with pytest.raises(ValueError, match=r"known sizes.*Received: Budget\(macs=0.5\)"):
        kp.prune_channels(sizes_unknown(), budget=kp.Budget(macs=0.5))
    kp.prune_channels(sizes_unknown(), budget=kp.Budget(params=0.5))


@pytest.mark.parametrize("scope", ["group", "global", "isomorphic"])
@pytest.mark.parametrize(
    "asked", [{"macs": 0.5}, {"params": 0.3}, {"weight_bytes": 4000}, {"macs": 0.7, "params": 0.4}]
)
def test_a_budget_takes_as_few_channels_as_it_can(scope, asked):
    model = randomise(residual())
    result = kp.prune_channels(model, budget=kp.Budget(**asked), scope=scope)

    def spent(plan):
        report = kp.prune_channels(model, plan=plan).report
        original = {
            "macs": report.macs_before,
            "params": report.parameters_before,
            "weight_bytes": 4 * model.count_params(),
        }
        now = {
            "macs": report.macs_after,
            "params": report.parameters_after,
            "weight_bytes": 4 * report.parameters_after,
        }
        return max(now[key] / (value if value > 1 else value * original[key]) for key, value in asked.items())

    removed = result.plan.removed
    assert spent(result.plan) <= 1
    one_less = [{**removed, name: places[:-1]} for name, places in removed.items() if places]
    assert max(spent(ChannelPlan(result.plan.fingerprint, each)) for each in one_less) > 1
    x = batch(model)
    assert difference(outputs(result.model, x), outputs(zeroed(model, result.plan), x)) <= 1e-5


def test_a_budget_that_is_met_already_takes_nothing():
    model = residual()
    assert kp.prune_channels(model, budget=kp.Budget(params=model.count_params())).plan.removed == {}


def test_a_budget_that_cannot_be_met_says_what_can():
    model = residual()
    smallest = kp.prune_channels(model, 0.99, max_ratio=0.5).report
    with pytest.raises(
        ValueError, match=rf"cannot be met.*macs={smallest.macs_after:,}.*Received: Budget\(macs=1000\)"
    ):
        kp.prune_channels(model, budget=kp.Budget(macs=1000), max_ratio=0.5)
    kp.prune_channels(model, budget=kp.Budget(macs=smallest.macs_after), max_ratio=0.5)


def test_a_budget_leaves_alone_what_has_a_ratio_of_its_own():
    report = kp.prune_channels(residual(), budget=kp.Budget(macs=0.6), ratios={"stem": None, "narrow0": 0.5}).report
    left = {group.name: group.after for group in report.groups}
    assert left["stem"] == 8
    assert left["narrow0"] == 3
    assert report.macs_after <= 0.6 * report.macs_before


def test_latency_is_searched_on_exported_files(monkeypatch):
    """With a clock that counts: as many milliseconds as thousand MACs."""
    measured = []

    def clock(model):
        measured.append(costs(model)[0] / 1000)
        return measured[-1]

    monkeypatch.setattr(exported, "milliseconds", clock)
    model = randomise(residual())
    result = kp.prune_channels(model, budget=kp.Budget(latency=0.5))
    assert result.report.macs_after <= 0.5 * result.report.macs_before
    exact = kp.prune_channels(model, budget=kp.Budget(macs=0.5))
    assert result.plan == exact.plan
    assert len(measured) <= 9
    with pytest.raises(ValueError, match=r"cannot be met.*has .* ms\. Received: Budget\(latency=0.01\)"):
        kp.prune_channels(model, budget=kp.Budget(latency=0.01))


@pytest.fixture
def files(monkeypatch):
    """Files of 1,000 bytes and 4 for each parameter, which run for a millisecond for each thousand MACs."""
    made = []

    def size(model):
        made.append(model)
        return 1000 + 4 * model.count_params()

    monkeypatch.setattr(exported, "file_bytes", size)
    monkeypatch.setattr(exported, "milliseconds", lambda model: costs(model)[0] / 1000)
    return made


@pytest.mark.parametrize("asked", [0.6, 4000])
def test_bytes_are_those_of_the_exported_file(files, asked):
    model = randomise(residual())
    result = kp.prune_channels(model, budget=kp.Budget(bytes=asked))
    whole, now = (1000 + 4 * each.count_params() for each in (model, result.model))
    limit = asked if asked > 1 else asked * whole
    (row,) = result.report.budgets
    assert (row.name, row.asked, row.limit, row.reached, row.met) == ("bytes", asked, limit, now, True)
    weights = kp.prune_channels(model, budget=kp.Budget(weight_bytes=int(limit - 1000)))
    assert result.plan == weights.plan  # no channel more than is needed
    assert len(files) <= 12


@pytest.mark.parametrize("prune", [kp.prune_channels, kp.prune_layers])
def test_a_report_says_what_was_reached_of_each_value(files, prune):
    model = randomise(residual())
    asked = {"macs": 0.9, "params": 0.9, "weight_bytes": 10**6, "bytes": 0.95, "latency": 0.9}
    result = prune(model, budget=kp.Budget(**asked))
    rows = {row.name: row for row in result.report.budgets}
    assert {name: row.asked for name, row in rows.items()} == asked
    assert rows["params"].limit == int(0.9 * model.count_params())
    assert rows["params"].reached == result.model.count_params()
    assert rows["weight_bytes"].reached == 4 * result.model.count_params()
    assert rows["macs"].reached == costs(result.model)[0]
    assert rows["bytes"].reached == 1000 + 4 * result.model.count_params()
    assert rows["latency"].reached == pytest.approx(costs(result.model)[0] / 1000)
    assert rows["latency"].limit == pytest.approx(0.9 * costs(model)[0] / 1000)
    assert all(row.met and row.reached <= row.limit for row in rows.values())
    table = next(line for line in str(result).splitlines() if line.split()[:2] == ["Budget", "Asked"])
    assert table.split() == ["Budget", "Asked", "At", "most", "Reached", "Met"]
    assert {row["name"] for row in json.loads(result.report.to_json())["budgets"]} == set(asked)
    assert "budgets" not in result.report.records()[0]


def test_a_file_that_is_too_large_at_its_smallest_is_refused(files):
    with pytest.raises(
        ValueError, match=r"cannot be met: the file of .* has 1,\d+ bytes\. Received: Budget\(bytes=999\)"
    ):
        kp.prune_channels(residual(), budget=kp.Budget(bytes=999))


def test_no_budget_is_no_table():
    report = kp.prune_channels(residual(), 0.5).report
    assert report.budgets == ()
    assert "At most" not in str(report)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports")
def test_bytes_are_really_those_of_a_file(tmp_path):
    model = keras.Sequential([keras.Input((16,)), layers.Dense(4), layers.Dense(2)])
    result = kp.prune_channels(model, budget=kp.Budget(bytes=0.97))
    (row,) = result.report.budgets
    assert row.reached == tflite_export.export(result.model, tmp_path / "small.tflite", sparse=False).bytes
    assert row.reached <= row.limit
    assert result.plan.removed


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports")
def test_latency_is_really_measured(monkeypatch):
    monkeypatch.setattr(exported, "PROBES", 1)  # each is an export
    model = keras.Sequential([keras.Input((256,)), *(layers.Dense(1024) for _ in range(3)), layers.Dense(2)])
    result = kp.prune_channels(model, budget=kp.Budget(latency=0.9))
    assert 0 < result.report.parameters_after < result.report.parameters_before


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "needs one of"),
        ({"macs": 0.0}, r"fraction in \(0, 1\), or a positive integer"),
        ({"macs": 1.0}, "fraction"),
        ({"macs": -3}, "fraction"),
        ({"params": True}, "fraction"),
        ({"bytes": "1 MB"}, "fraction"),
        ({"latency": 3}, r"fraction in \(0, 1\). Received"),
        ({"macs": float("nan")}, "fraction"),
    ],
)
def test_bad_budgets(asked, message):
    with pytest.raises(ValueError, match=message) as caught:
        kp.Budget(**asked)
    assert "Received: " in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ratio": 0.5, "budget": kp.Budget(macs=0.5)}, ValueError, "not both"),
        ({"budget": 0.5}, TypeError, "must be a Budget"),
        ({"plan": {}}, TypeError, "must be a ChannelPlan"),
        ({"plan": ChannelPlan("", {}), "ratio": 0.5}, ValueError, "A `plan` says which channels to remove"),
        ({"ratios": 0.5}, TypeError, "must map"),
    ],
)
def test_bad_combinations(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        kp.prune_channels(residual(), **arguments)
    assert "Received: " in str(caught.value)


def stages():
    """Two groups of one structure, and two of another whose scores are a hundred times as high."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="conv1")(inputs)
    x = layers.Conv2D(8, 3, name="conv2")(x)
    x = layers.Flatten()(layers.Conv2D(6, 3, name="conv3")(x))
    x = layers.Dense(8, name="dense1")(x)
    x = layers.Dense(8, name="dense2")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def test_isomorphic_scope_ranks_groups_of_one_structure_together():
    scores = {"conv1": np.arange(8) + 1.0, "conv2": np.arange(8) + 5.0}
    scores |= {"conv3": np.arange(6) + 9.0, "dense1": np.arange(8) * 100 + 100.0, "dense2": np.arange(8) * 100 + 500.0}

    def score(binding):
        return scores.get(binding.layer) if binding.role == "out" and len(binding.weight.shape) > 1 else None

    importance = ChannelImportance(score, normalize="none")
    removed = {}
    for scope in ("group", "global", "isomorphic"):
        plan = kp.prune_channels(stages(), 0.5, scope=scope, importance=importance, max_ratio=0.75).plan
        removed[scope] = {name: len(places) for name, places in plan.removed.items()}
    assert removed["group"] == {"conv1": 4, "conv2": 4, "conv3": 3, "dense1": 4, "dense2": 4}
    assert removed["global"] == {"conv1": 6, "conv2": 6, "conv3": 4, "dense1": 3}
    # conv3 stands alone: a dense layer reads it.
    assert removed["isomorphic"] == {"conv1": 6, "conv2": 2, "conv3": 3, "dense1": 6, "dense2": 2}


def test_oracle_over_groups_of_one_structure():
    check(residual(), 0.4, scope="isomorphic")


@pytest.mark.parametrize("scores", [(1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1)])
def test_rounding_holds_where_a_channel_comes_back(scores):
    """A half of a tensor that is split would be empty: with the one that it gets back comes another."""
    inputs = keras.Input((5,))
    left, right = ops.split(layers.Dense(6, name="dense")(inputs), 2, axis=-1)
    x = layers.Dense(4, name="left")(left) + layers.Dense(4, name="right")(right)
    model = keras.Model(inputs, layers.Dense(2, name="out")(x))

    def importance(binding):
        return np.array(scores) if binding.layer == "dense" and binding.makes else None

    result, _ = check(model, 0.75, round_to=2, importance=importance)
    assert next(group.after for group in result.report.groups if group.name == "dense") == 4
