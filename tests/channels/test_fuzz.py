"""Random graphs against the oracle. `make fuzz` tries others, and more: see `support.fuzzing`."""

import collections

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from support.channel_zoo import batch, compare, difference, outputs
from support.fuzzing import MORE
from support.random_graphs import arguments, graphs

import keras_prune as kp
from keras_prune.costs.counting import costs_of_trace
from keras_prune.tracing.kept_channels import Kept

SETTINGS = settings(
    max_examples=MORE or 200,
    derandomize=not MORE,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
TOLERANCE = 1e-7  # in double precision: what is not exact is far from it


@pytest.fixture
def double_precision():
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")  # else Keras goes on with the one that was made meanwhile


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.timeout(20 * max(MORE, 60))
def test_random_graphs(double_precision, tmp_path):
    seen = collections.Counter()

    @SETTINGS
    @given(graphs(), arguments())
    def check(graph, asked):
        keras.backend.clear_session()
        model = graph.build()
        note(f"{[(layer.name, layer.output.shape) for layer in model.layers]}")
        seen["examples"] += 1
        seen[examine(model, asked, tmp_path / "model.keras" if seen["examples"] % 10 == 0 else None)] += 1

    check()
    print(dict(seen))
    examples = seen["examples"]
    assert seen["pruned exactly"] + seen["pruned inexactly"] >= 0.75 * examples, seen
    assert seen["pruned exactly"] >= 0.6 * examples, seen
    assert seen["a rule gave up"] <= 0.02 * examples, seen


def examine(model, asked, path):
    """Checks one model, and says how much that proved."""
    if "budget" in asked:
        goal, part = asked["budget"]
        asked = {**asked, "budget": kp.Budget(**{goal: part})}
    try:
        result, error, change = compare(model, TOLERANCE, **asked)
    except ValueError as reason:
        if "budget" in asked and "cannot be met" in str(reason):
            return "budget out of reach"
        raise
    check_report(model, result, asked)
    if path is not None:
        result.model.save(path)
        x = batch(model)
        assert difference(outputs(keras.models.load_model(path), x), outputs(result.model, x)) <= TOLERANCE
    pruned = bool(result.plan.removed)
    assert pruned == (result.model.count_params() < model.count_params())
    assert pruned or change == 0
    if result.report.unknown:
        return "a rule gave up"
    return "nothing to prune" if not pruned else "pruned exactly" if error is not None else "pruned inexactly"


def check_report(model, result, asked):
    """What the report says of the smaller model is what counting in the smaller model gives."""
    report, small = result.report, result.model
    assert report.parameters_before == model.count_params()
    assert report.parameters_after == small.count_params()
    again = kp.analyze_channels(small)
    if not again.unknown:  # axes of one channel can make a rule give up, which counts nothing then
        everything = Kept(np.ones(len(again.trace.found.atoms), dtype=bool))
        assert costs_of_trace(again.trace).macs(everything) == report.macs_after
    if "budget" in asked:
        for name, part in asked["budget"].given.items():
            name = {"params": "parameters"}.get(name, name)
            assert getattr(report, f"{name}_after") <= part * getattr(report, f"{name}_before")
    for group in report.groups:
        assert group.after >= 1
        assert group.after == group.before or group.after % asked["round_to"] == 0, group
