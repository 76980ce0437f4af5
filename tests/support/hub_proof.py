"""A family of KerasHub pruned and compared with the oracle: in the suite, and by tools/proof_hub.py."""

import keras
import numpy as np
from keras import ops
from networks import hub
from support.channel_zoo import difference, outputs, randomise
from support.replay_oracle import inexact_whole, prove_plan

import keras_prune as kp


def enliven(model, x, least=0.02):
    """Random weights with which the output depends on the input: larger ones, if it does not."""
    randomise(model)
    for _ in range(4):
        found = outputs(model, x)
        if max(difference([each[:1]], [each[1:2]]) for each in found) > least:
            return model
        for weight in model.weights:
            if len(weight.shape) > 1 and keras.backend.is_float_dtype(weight.dtype):
                weight.assign(2 * ops.convert_to_numpy(weight.value))
    return model


def prove(name, tolerance=1e-5):
    """Removes half of the channels of every group of a family's model, and proves it.

    Where the report says that groups are inexact, the oracle is asked with these whole, and half of all others removed.

    Returns:
        What the table says of this family, as plain values.
    """
    model, x = hub.build(name)
    enliven(model, x)
    flat = kp.expand(model, sizes=hub.sizes_of(model))
    whole = [f"{layer.kind}: {layer.reason}" for layer in kp.expansion.report(flat).whole]
    result = kp.prune_channels(flat, 0.5)
    report = result.report
    assert np.isfinite(np.concatenate([each.ravel() for each in outputs(result.model, x)])).all()
    exact = kp.prune_channels(flat, 0.5, ratios=inexact_whole(report)) if report.inexact else result
    proof = prove_plan(flat, exact, x, tolerance) if exact.plan.removed else None
    return {
        "name": name,
        "parameters": [report.parameters_before, report.parameters_after],
        "proved": exact.report.parameters_before - exact.report.parameters_after,
        "groups": len(report.groups),
        "inexact": dict(report.inexact),
        "frozen": dict(report.frozen),
        "whole": sorted(set(whole)),
        "error": proof and proof.error,
        "change": proof and proof.change,
    }
