"""`prune_weights(budget=...)`: multiply-accumulates, parameters and bytes, distributed by the errors of the layers."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise
from support.opaque import opaque

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.selection.top_k import count_kept

pytestmark = pytest.mark.core


def convolutions():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="wide"),
            layers.Conv2D(8, 3, strides=2, activation="relu", name="narrow"),
            layers.Flatten(),
            layers.Dense(24, activation="relu", name="hidden"),
            layers.Dense(4, name="output"),
        ]
    )
    randomise(model)
    return model


@pytest.fixture(scope="module")
def model():
    return convolutions()


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    low = rng.normal(size=(64, 10)) @ rng.normal(size=(10, 108)) / 3
    return (low + 0.2 * rng.normal(size=low.shape)).reshape(-1, 6, 6, 3).astype("float32")


@pytest.fixture(scope="module")
def errors(model, x):
    return kp.layer_errors(model, x)


def reached(model):
    """What zeros leave, as a count of weights that are not zero gives it."""
    plain = kp.strip_pruning(model)
    masks = [each.kept() for each in find_masked(model)]
    pruned = sum(mask.size - np.count_nonzero(mask) for mask in masks)
    count = plain.count_params() - pruned
    return {"macs": kp.cost(plain).effective_macs, "params": count, "weight_bytes": 4 * count}


@pytest.mark.parametrize("name", ["macs", "params", "weight_bytes"])
def test_budgets_hold_and_are_spent(model, x, name):
    whole = {"macs": kp.cost(model).macs, "params": model.count_params(), "weight_bytes": 4 * model.count_params()}
    for value in (0.4, whole[name] // 2):
        limit = int(0.4 * whole[name]) if value == 0.4 else value
        found = reached(kp.prune_weights(model, budget=kp.Budget(**{name: value}), reconstruct=x))[name]
        assert 0.97 * limit < found <= limit


def test_several_budgets_hold_together(model, x):
    costs = kp.cost(model)
    found = reached(kp.prune_weights(model, budget=kp.Budget(macs=0.3, params=0.5), reconstruct=x))
    assert found["macs"] <= 0.3 * costs.macs
    assert found["params"] <= 0.5 * costs.parameters
    used = found["macs"] / (0.3 * costs.macs), found["params"] / (0.5 * costs.parameters)
    assert max(used) > 0.9


def test_what_a_weight_costs_says_where_it_is_pruned(errors):
    """The first layer has most of the products and few of the weights: a budget of products prunes it more."""
    by_macs, by_params = (errors.targets(budget=kp.Budget(**{name: 0.4})) for name in ("macs", "params"))
    assert by_macs["wide"] > by_params["wide"] + 0.1
    assert by_macs["hidden"] < by_params["hidden"] - 0.1


def test_costs_of_layers_are_those_of_the_model(model, errors):
    cost = kp.cost(model)
    assert errors.costs == {"macs": cost.macs, "params": cost.parameters, "weight_bytes": cost.weight_bytes}
    macs = {each.name: each.macs for each in cost.layers if each.macs}
    assert {curve.layer: curve.macs for curve in errors.curves} == macs
    for curve in errors.curves:
        assert curve.weight_bytes == 4 * int(np.prod(model.get_layer(curve.layer).kernel.shape))
    assert errors.records()[0]["macs"] == errors.curves[0].macs


def test_targets_serve_for_several_budgets(model, x, errors):
    budget = kp.Budget(macs=0.4)
    measured = kp.prune_weights(model, 0.0, targets=errors.targets(budget=budget), reconstruct=x)
    at_once = kp.prune_weights(model, budget=budget, reconstruct=x)
    for one, other in zip(find_masked(measured), find_masked(at_once), strict=True):
        np.testing.assert_array_equal(one.kept(), other.kept())


@pytest.mark.filterwarnings("ignore:Not all weights are reconstructed")
def test_layers_that_are_not_refitted_are_kept(x):
    inputs = keras.Input((6,), dtype="int32")
    y = layers.Embedding(20, 8, name="table")(inputs)
    y = layers.Flatten()(y)
    model = keras.Model(inputs, layers.Dense(3, name="output")(y))
    randomise(model)
    tokens = np.random.default_rng(0).integers(0, 20, size=(200, 6))
    limit = 20 * 8 + 80
    pruned = kp.prune_weights(model, budget=kp.Budget(params=limit), reconstruct=tokens)
    assert find_masked(pruned)[0].kept().all()
    assert 0.97 * limit < reached(pruned)["params"] <= limit
    macs = reached(kp.prune_weights(model, budget=kp.Budget(macs=0.5), reconstruct=tokens))["macs"]
    assert 0.45 < macs / kp.cost(model).macs <= 0.5


@keras.saving.register_keras_serializable("test_weight_budgets")
class Own(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(16, activation="relu"), layers.Dense(4)

    def call(self, x):
        return self.second(self.first(x))


def test_a_subclassed_model_is_counted_written_out():
    model = Own()
    x = np.random.default_rng(0).normal(size=(200, 8)).astype("float32")
    model(x[:1])
    randomise(model)
    pruned = kp.prune_weights(model, budget=kp.Budget(macs=0.5), reconstruct=x)
    kept = sum(np.count_nonzero(each.kept()) for each in find_masked(pruned))
    assert 88 < kept <= 96
    assert kp.cost(pruned).effective_macs == kept
    assert len(find_masked(pruned)) == 2  # counting removes no masks


def test_blocks_at_the_end_of_an_axis_that_exceed_a_budget_are_said():
    """Inputs in blocks of 64 and 1: half of the blocks is nearly all of the weights."""
    model = keras.Sequential([keras.Input((65,)), layers.Dense(8, use_bias=False)])
    randomise(model)
    x = np.random.default_rng(0).normal(size=(200, 65)).astype("float32")
    x[:, 64] = 0
    selection = kp.Block((64, 1))
    with pytest.warns(UserWarning, match=r"The budget is exceeded: .* Received: Budget\(params=0.5\)"):
        pruned = kp.prune_weights(model, budget=kp.Budget(params=0.5), selection=selection, reconstruct=x)
    assert np.count_nonzero(find_masked(pruned)[0].kept()) > 260


def test_layers_can_be_left_out(model, x):
    selection = kp.NByM(2, 4)
    with pytest.raises(ValueError, match="does not fit along the inputs of 'wide/kernel'"):
        kp.prune_weights(model, budget=kp.Budget(macs=0.9), selection=selection, reconstruct=x)
    given = {"budget": kp.Budget(macs=0.9), "selection": selection, "reconstruct": x}
    for targets in ({"wide": None}, {"wide": None, "*": "reconstruction"}):
        pruned = kp.prune_weights(model, targets=targets, **given)
        assert find_masked(pruned)[0].kept().all()
        assert 0.85 < reached(pruned)["macs"] / kp.cost(model).macs <= 0.9


def test_some_layers_by_their_errors_and_others_not(model, x):
    found = find_masked(kp.prune_weights(model, 0.6, targets={"out*": 0.25, "*": "reconstruction"}, reconstruct=x))
    errors = kp.layer_errors(model, x, layers=["wide", "narrow", "hidden"])
    expected = {**errors.targets(0.6), "output": 0.25}
    for each in found:
        assert np.count_nonzero(each.kept()) == count_kept(each.size, expected[each.layer])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"budget": 0.5}, TypeError, r"must be a Budget.* Received: budget=0.5"),
        ({"sparsity": 0.5}, ValueError, r"not both. Received: sparsity=0.5, budget=Budget\(macs=0.4\)"),
        ({"targets": {"wide": 0.5}}, ValueError, r"may only name layers .* Received: targets=\{'wide': 0.5\}, budget="),
        ({"targets": {"wid": None}}, ValueError, r"Did you mean 'wide'.* Received: 'wid'"),
        ({"targets": "erk"}, ValueError, r"Received: targets='erk', budget="),
        ({"reconstruct": None}, ValueError, r"`budget=...` needs data, .* Received: reconstruct=None"),
        ({"selection": kp.Threshold(0.1)}, ValueError, r"Received: reconstruct=\.\.\., selection=Threshold"),
        ({"selection": kp.Percentile("global")}, ValueError, "by their scores"),
        ({"budget": kp.Budget(bytes=0.5)}, ValueError, r"no file is exported.* Received: budget=Budget\(bytes=0.5\)"),
        ({"budget": kp.Budget(latency=0.5)}, ValueError, "no file is exported"),
        ({"budget": kp.Budget(macs=5)}, ValueError, r"cannot be met: .* has macs=[\d,]+. Received: Budget\(macs=5\)"),
    ],
    ids=lambda each: "" if isinstance(each, str | type) else str(each),
)
def test_bad_arguments(model, x, arguments, error, message):
    before = [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]
    with pytest.raises(error, match=message):
        kp.prune_weights(model, **({"budget": kp.Budget(macs=0.4), "reconstruct": x} | arguments))
    after = [ops.convert_to_numpy(weight) for weight in model.weights]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_bad_arguments_of_targets(errors):
    for arguments, error, message in (
        ({}, ValueError, "Received: sparsity=None, budget=None"),
        ({"sparsity": 0.5, "budget": kp.Budget(macs=0.5)}, ValueError, "Received: sparsity=0.5, budget="),
        ({"budget": 0.5}, TypeError, "Received: budget=0.5"),
        ({"budget": kp.Budget(bytes=0.5)}, ValueError, "Received: budget="),
        ({"budget": kp.Budget(params=3)}, ValueError, "cannot be met"),
    ):
        with pytest.raises(error, match=message):
            errors.targets(**arguments)


def test_unknown_products_are_said():
    inputs = keras.Input((6,))
    middle = layers.Lambda(lambda x: opaque(x) * 2.0, output_shape=(8,))(layers.Dense(8)(inputs))
    model = keras.Model(inputs, layers.Dense(3)(middle))
    x = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    found = kp.layer_errors(model, x)
    assert found.costs["macs"] is None
    assert [curve.macs for curve in found.curves] == [None, None]
    with pytest.raises(ValueError, match=r"A budget of MACs needs .* Received: Budget\(macs=0.5\)"):
        found.targets(budget=kp.Budget(macs=0.5))
    assert found.targets(budget=kp.Budget(params=0.5))
