"""The oracle that knows no rule agrees with the one that reads the rules' table, and finds what is wrong."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from keras import layers, ops
from support.applications import build as application
from support.applications import enliven
from support.channel_zoo import CORE, MORE, batch, randomise
from support.random_graphs import graphs
from support.replay_oracle import prove_plan

import keras_prune as kp
from keras_prune.channels import rebuild
from keras_prune.tracing.kept_channels import Kept

BUILDS = [pytest.param(each, marks=pytest.mark.core, id=each.__name__) for each in CORE]
BUILDS += [pytest.param(each, id=each.__name__) for each in MORE]


@pytest.mark.parametrize("build", BUILDS)
def test_kept_entries_alone_compute_what_the_smaller_model_does(build):
    model = randomise(build())
    before = [np.array(ops.convert_to_numpy(weight.value)) for weight in model.weights]
    result = kp.prune_channels(model, 0.5)
    proof = prove_plan(model, result, batch(model))
    assert proof.change > 1e-4
    assert proof.absent == proof.constant == ()
    assert sum(proof.kept.values()) == result.report.parameters_after
    assert all("query" in path for path in proof.scaled)
    after = [ops.convert_to_numpy(weight.value) for weight in model.weights]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "ResNet50V2"])
def test_applications(name):
    model = enliven(application(name))
    result = kp.prune_channels(model, 0.5)
    assert prove_plan(model, result, batch(model)).change > 1e-4


@pytest.mark.slow
def test_random_graphs():
    proved = []

    @settings(max_examples=25, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(graphs())
    def check(graph):
        keras.backend.clear_session()
        model = randomise(graph.build())
        result = kp.prune_channels(model, 0.5)
        if not result.report.inexact:
            proved.append(prove_plan(model, result, batch(model)))

    check()
    assert len(proved) >= 15
    assert sum(proof.change > 1e-4 for proof in proved) >= 12


def square():
    """Weights as long as they are wide: a cut along another axis has the same shape."""
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="tanh", name="first")(inputs)
    x = layers.Dense(8, activation="tanh", name="second")(x)
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.Dense(8, name="third")(x)))


@pytest.fixture
def wrong(monkeypatch):
    """Makes the rebuilt weights wrong: `change(values, masks by axis)` gives those of `weight`."""

    def set_up(weight, change):
        right = rebuild._Rebuilder._values

        def values(self, variable):
            if variable.path != weight:
                return right(self, variable)
            masks = {each.axis: self._kept.mask(each.labels) for each in self._cuts[id(variable)]}
            return change(np.array(ops.convert_to_numpy(variable.value)), masks)

        monkeypatch.setattr(rebuild._Rebuilder, "_values", values)

    return set_up


def cut(values, masks):
    for axis, mask in masks.items():
        values = np.compress(mask, values, axis=axis)
    return values


def shifted(values, masks):
    """One kept channel is mistaken for its removed neighbour."""
    mask = masks[0].copy()
    place = next(at for at in range(len(mask) - 1) if mask[at] != mask[at + 1])
    mask[[place, place + 1]] = mask[[place + 1, place]]
    return cut(values, masks | {0: mask})


WRONG = {
    "one entry shifted": shifted,
    "wrong axes": lambda values, masks: cut(values, {0: masks[1], 1: masks[0]}),
    "transposed": lambda values, masks: cut(values, masks).T,
    "in another order": lambda values, masks: cut(values, masks)[::-1],
    "a factor": lambda values, masks: 2 * cut(values, masks),
    "zeros": lambda values, masks: 0 * cut(values, masks),
    "entries of two": lambda values, masks: cut(values, masks) + cut(values, masks)[::-1],
    "a constant": lambda values, masks: np.ones_like(cut(values, masks)),
}


@pytest.mark.core
@pytest.mark.parametrize("kind", WRONG)
def test_what_was_cut_wrongly_is_found(kind, wrong):
    model = randomise(square())
    prove_plan(model, kp.prune_channels(model, 0.5), batch(model))
    wrong("third/kernel", WRONG[kind])
    result = kp.prune_channels(model, 0.5)
    with pytest.raises(AssertionError):
        prove_plan(model, result, batch(model))


@pytest.mark.core
def test_a_wrong_rule_is_found(monkeypatch):
    """A rule that mistakes the order of what it joins gives weights of the right shape."""
    inputs = keras.Input((6,))
    x, y = layers.Dense(8, name="left")(inputs), layers.Dense(8, name="right")(inputs)
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(ops.tanh(layers.Concatenate()([x, y])))))
    mask = Kept.mask
    monkeypatch.setattr(
        Kept, "mask", lambda self, labels: mask(self, np.roll(labels, 8) if len(labels) == 16 else labels)
    )
    result = kp.prune_channels(model, 0.5)
    with pytest.raises(AssertionError):
        prove_plan(model, result, batch(model))
