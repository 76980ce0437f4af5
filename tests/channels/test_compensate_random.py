"""`compensate=` on random graphs: no layer is worse for it, nothing else changes, and copies of channels are absorbed.

In the suite a few; `make fuzz` tries 200, or as many as it is told: see `support.fuzzing`.
"""

import collections

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from support.channel_zoo import batch, difference, outputs, randomise
from support.fuzzing import MORE
from support.random_graphs import graphs

import keras_prune as kp
from keras_prune.channels.plan import ChannelPlan

SETTINGS = settings(
    max_examples=min(MORE, 200) or 4,
    derandomize=not MORE,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
ROWS = 40
TOLERANCE = 1e-5


@pytest.fixture
def double_precision():
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def examine(model, ratio):
    """Whether the compensated model differs; nothing may come out worse than it was."""
    x, before = batch(model, ROWS), [np.array(each) for each in model.get_weights()]
    sliced = kp.prune_channels(model, ratio)
    result = kp.prune_channels(model, ratio, compensate=x)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)
    assert result.plan == sliced.plan
    assert all(np.isfinite(each).all() for each in outputs(result.model, x))
    rows = [row for row in result.report.compensated if row.after is not None]
    for row in rows:
        assert row.after <= row.before, row
        assert row.after < row.before or row.note, row
    touched = {row.layer.split("/")[0] for row in rows}
    paths = {layer.name: layer for layer in sliced.model.layers if isinstance(layer, keras.layers.Dense)}
    for name, layer in paths.items():  # what the report does not name is what it was
        if name not in touched:
            twin = result.model.get_layer(name)
            assert all(np.array_equal(*pair) for pair in zip(layer.get_weights(), twin.get_weights(), strict=True))
    return "fitted" if rows else "nothing to fit"


def copied(analysis, group, x):
    """Makes the second half of the channels of a group copies of the first. Returns whether they are, everywhere."""
    model, half = analysis.trace.model, group.size // 2
    if any(isinstance(layer, keras.Model) for layer in model.layers):  # what its layers give is not seen from outside
        return False
    pairs = list(zip(group.channels[:half], group.channels[half : 2 * half], strict=True))
    for member in group.members:
        if member.role == "in":
            continue
        values = np.moveaxis(np.array(keras.ops.convert_to_numpy(member.weight.value)), member.axis, 0)
        for first, second in pairs:
            if np.sum(member.labels == second) != np.sum(member.labels == first):
                return False
            values[member.labels == second] = values[member.labels == first]
        member.weight.assign(np.moveaxis(values, 0, member.axis))
    for layer in model.layers:
        for tensor in keras.tree.flatten(layer.output):
            labels = analysis.trace.tensors.get(id(tensor))
            if labels is None or not np.isin(labels, group.channels).any():
                continue
            (found,) = outputs(keras.Model(model.inputs, tensor), x)
            labels = np.broadcast_to(labels[0], found.shape[1:])
            for first, second in pairs:
                one, other = found[:, labels == first], found[:, labels == second]
                if one.shape != other.shape or np.abs(one - other).max(initial=0) > 1e-12:
                    return False
    return True


def absorb(model, number):
    """Removes copies of the channels of a group, where there can be such."""
    analysis = kp.analyze_channels(model)
    free = [
        each
        for each in analysis.groups
        if each.free.all() and each.size > 1 and not each.inexact and not any(one.mutes for one in makers(each))
    ]
    if not free or analysis.trace.found.readers or analysis.trace.model is not model:
        return "no copies"
    group, x = free[number % len(free)], batch(model, ROWS)
    if not copied(analysis, group, x):
        return "no copies"
    half = group.size // 2
    removed = group.channels[half : 2 * half]
    if any(np.isin(each, removed).all() for each in analysis.never_empty):
        return "no copies"
    plan = ChannelPlan(analysis.fingerprint, {group.name: tuple(range(half, 2 * half))})
    result = kp.prune_channels(model, plan=plan, compensate=x)
    inexact = "no fit", "worse", "fewer rows"  # with few rows a ridge holds the weights
    if any(each in row.note for row in result.report.compensated for each in inexact):
        return "not all fitted"
    assert difference(outputs(result.model, x), outputs(model, x)) <= TOLERANCE, (group.name, result.report.compensated)
    return "absorbed"


def makers(group):
    return [member for member in group.members if member.role == "out"]


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.timeout(60 * max(MORE, 20))
def test_random_graphs_are_compensated(double_precision):
    seen = collections.Counter()

    @SETTINGS
    @given(graphs(), st.sampled_from([0.25, 0.5]), st.integers(0, 5))
    def check(graph, ratio, number):
        keras.backend.clear_session()
        model = randomise(graph.build())
        note(f"{[(layer.name, layer.output.shape) for layer in model.layers]}")
        seen["examples"] += 1
        seen[examine(model, ratio)] += 1
        seen[absorb(model, number)] += 1

    check()
    print(dict(seen))
    assert seen["fitted"] >= 0.5 * seen["examples"], seen
    assert seen["absorbed"] >= 0.2 * seen["examples"], seen
