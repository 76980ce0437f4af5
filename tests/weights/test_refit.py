"""`refit`: masks stay, kept weights take over. `layer_errors`: how much where."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.selection.top_k import count_kept

pytestmark = pytest.mark.core


@pytest.fixture
def model():
    model = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(24, activation="relu", name="a"),
            layers.Dense(16, activation="tanh", name="b"),
            layers.Dense(3, name="c"),
        ]
    )
    randomise(model)
    return model


@pytest.fixture
def x(rng):
    low = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 12)) / 2
    return (low + 0.1 * rng.normal(size=low.shape)).astype("float32")


def distance(model, other, x):
    pair = (ops.convert_to_numpy(each(x, training=False)) for each in (model, other))
    return float(np.square(np.subtract(*pair)).mean())


def test_refitting_is_what_pruning_with_reconstruction_does(model, x):
    pruned = kp.prune_weights(model, selection=kp.NByM(1, 4))
    before = [np.array(ops.convert_to_numpy(weight)) for weight in pruned.weights]
    fitted = kp.refit(pruned, x, original=model)
    expected = kp.prune_weights(model, selection=kp.NByM(1, 4), importance="magnitude", reconstruct=x)
    for old, new, other in zip(*map(find_masked, (pruned, fitted, expected)), strict=True):
        np.testing.assert_array_equal(old.kept(), new.kept())
        found, wanted = (ops.convert_to_numpy(each.weight) for each in (new, other))
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert distance(model, fitted, x) < 0.5 * distance(model, pruned, x)
    after = [ops.convert_to_numpy(weight) for weight in pruned.weights]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_a_model_that_is_refitted_changes_little_when_it_is_again(model, x):
    fitted = kp.refit(kp.prune_weights(model, 0.5), x, original=model)
    again = kp.refit(fitted, x, original=model)
    assert distance(model, again, x) <= 1.01 * distance(model, fitted, x)


def test_frozen_layers_are_left_unless_wanted(model, x):
    pruned = kp.prune_weights(model, 0.5)
    for layer in pruned.layers:
        layer.trainable = False
    same = kp.refit(pruned, x, original=model)
    assert distance(pruned, same, x) == 0
    assert distance(model, kp.refit(pruned, x, original=model, prune_frozen=True), x) < distance(model, pruned, x)


def test_bad_arguments_of_refit(model, x):
    pruned = kp.prune_weights(model, 0.5)
    other = keras.Sequential([keras.Input((12,)), layers.Dense(4, name="a")])
    for arguments, error, message in (
        ((model, x, pruned), ValueError, "must have masks: .* which has none"),
        ((pruned, x, pruned), ValueError, "Received: the same model"),
        ((pruned, x, other), ValueError, "without a weight like 'a/kernel'"),
        ((pruned, x[:, :5], model), ValueError, "does not fit the inputs"),
        ((pruned, x, "model"), TypeError, "Received: original='model'"),
    ):
        with pytest.raises(error, match=message):
            kp.refit(arguments[0], arguments[1], original=arguments[2])


def test_errors_of_layers_are_those_of_each_alone(model, x):
    found = kp.layer_errors(model, x)
    assert [curve.layer for curve in found.curves] == ["a", "b", "c"]
    assert [curve.size for curve in found.curves] == [288, 384, 48]
    for curve in found.curves:
        assert curve.errors[0] == pytest.approx(0, abs=1e-6)
        assert list(curve.errors) == sorted(curve.errors)
        assert curve.errors[-1] <= 1 + 1e-6
    at = found.sparsities.index(min(found.sparsities, key=lambda each: abs(each - 0.8)))
    alone = [
        kp.prune_weights(model, found.sparsities[at], importance=each, targets={"b": None, "c": None}, reconstruct=x)
        for each in (None, "magnitude")
    ]
    wanted = ops.convert_to_numpy(ops.matmul(x, model.layers[0].kernel))
    errors = []
    for masked in (find_masked(each)[0] for each in alone):
        after = x @ ops.convert_to_numpy(masked.weight)
        errors.append(np.var(after - wanted, axis=0).sum() / np.var(wanted, axis=0).sum())
    # The masks come from other rounds: close to those chosen by the error, and better than those by magnitude.
    assert 0.5 * errors[0] < found.curves[0].errors[at] < min(2 * errors[0], errors[1])


def test_sparsity_goes_where_it_costs_least(model, rng):
    """The first layer has little to lose until half of its weights are pruned: its inputs are copies of each other."""
    x = rng.normal(size=(300, 12)).astype("float32")
    before = kp.layer_errors(model, x)
    x[:, 6:] = x[:, :6]
    errors = kp.layer_errors(model, x)
    half, at = 3, 4  # 49% and 59%
    assert errors.curves[0].errors[half] < 0.5 * before.curves[0].errors[half]
    sparsity = errors.sparsities[at]
    targets = errors.targets(sparsity)
    sizes = [curve.size for curve in errors.curves]
    total = sum(size * targets[curve.layer] for size, curve in zip(sizes, errors.curves, strict=True))
    assert total == pytest.approx(sparsity * sum(sizes))
    chosen = [np.interp(targets[curve.layer], errors.sparsities, curve.errors) for curve in errors.curves]
    assert sum(chosen) <= sum(curve.errors[at] for curve in errors.curves) + 1e-9
    pruned = kp.prune_weights(model, sparsity, targets="reconstruction", reconstruct=x)
    for masked in find_masked(pruned):
        assert np.count_nonzero(masked.kept()) == count_kept(masked.size, targets[masked.layer])


def test_the_table_of_errors_can_be_read(model, x):
    found = kp.layer_errors(model, x, selection=kp.NByM(2, 4))
    assert found.sparsities[-1] == 0.5
    assert "Errors of the layers of 'sequential'" in str(found)
    assert len(found.records()) == 3 * len(found.sparsities)
    with pytest.raises(ValueError, match=r"known up to a sparsity of 0.5. Received: sparsity=0.6"):
        found.targets(0.6)


def test_bad_arguments_of_layer_errors(model, x):
    for arguments, error, message in (
        ({"selection": kp.Threshold(0.1)}, ValueError, r"Received: selection=Threshold\(value=0.1\)"),
        ({"selection": "2:4"}, TypeError, "Received: selection='2:4'"),
    ):
        with pytest.raises(error, match=message):
            kp.layer_errors(model, x, **arguments)
    for arguments, message in (
        ({"sparsity": 0.5}, "Received: reconstruct=None"),
        ({"reconstruct": x, "selection": kp.Threshold(0.1)}, "Received: reconstruct=..., selection=Threshold"),
        ({"sparsity": 0.5, "reconstruct": x, "selection": kp.Percentile("global")}, "by their scores"),
    ):
        with pytest.raises(ValueError, match=message):
            kp.prune_weights(model, targets="reconstruction", **arguments)
    table = keras.Sequential([keras.Input((3,)), layers.Embedding(10, 4)])
    with pytest.raises(ValueError, match="no weights that can be refitted"):
        kp.layer_errors(table, np.zeros((8, 3)))
