"""Networks as tutorials write them: half of the channels removed, exactly, by the oracle that knows no rule."""

import numpy as np
import pytest
from keras import ops
from networks.registry import NETWORKS, ON_TENSORFLOW, STAYS
from support.channel_zoo import difference, randomise
from support.replay_oracle import inexact_whole, prove_plan, run

import keras_prune as kp

MOST = 0.45  # of the parameters may be left where half of all channels go

# Where only groups go that are normalised over their channels, so that there is no equality to prove, or none at all.
NOTHING_PROVED = {"gmlp"}

CORE = {"vision_transformer", "text_classifier", "subclassed_resnet", "deep_and_cross"}
NAMES = [pytest.param(name, marks=[pytest.mark.core] if name in CORE else []) for name in NETWORKS | ON_TENSORFLOW]


def enliven(model, x):
    """Random weights with which the outputs depend on the inputs: larger ones, if they do not."""
    randomise(model)
    for _ in range(4):
        if max(difference([each[:1]], [each[1:2]]) for each in run(model, x)) > 0.01:
            return model
        for weight in model.weights:
            if len(weight.shape) > 1:
                weight.assign(1.5 * ops.convert_to_numpy(weight.value))
    raise AssertionError("the test is empty: the outputs hardly depend on the inputs")


@pytest.mark.parametrize("name", NAMES)
def test_half_of_the_channels_are_removed_exactly(name):
    model, x = (NETWORKS | ON_TENSORFLOW)[name]()
    enliven(model, x)
    result = kp.prune_channels(model, 0.5)
    report = result.report
    assert report.parameters_after <= MOST * report.parameters_before or name in STAYS, str(report)
    assert all(np.isfinite(each).all() for each in run(result.model, x))
    if report.inexact:  # with these groups whole
        result = kp.prune_channels(model, 0.5, ratios=inexact_whole(report))
    proof = prove_plan(model, result, x)
    assert proof.change > 1e-4 or name in NOTHING_PROVED
