"""Channels are compensated by the words of sentences: what padding becomes makes no difference where it makes none."""

import numpy as np
import pytest
from keras import layers, ops
from support.sentences import functional, mean, reader, sentences, with_other_padding

import keras_prune as kp

pytestmark = pytest.mark.core


def stepwise(x):
    return layers.LSTM(6, return_sequences=True, name="lstm")(layers.Dense(16, activation="relu", name="wide")(x))


def fitted(model, x, **asked):
    result = kp.prune_channels(model, compensate=x, **asked)
    assert any(row.after < 0.9 * row.before for row in result.report.compensated)
    weights = {weight.path: ops.convert_to_numpy(weight) for weight in result.model.weights}
    return {path: values for path, values in weights.items() if "table" not in path}


@pytest.mark.parametrize(
    ("body", "ratios"),
    [(functional, {"up": 0.5}), (functional, {"attention:num_heads": 0.5}), (stepwise, {"wide": 0.5})],
)
def test_padding_does_not_count(body, ratios):
    model, x = reader(body, mean), sentences(200)
    found = [fitted(each, x, ratios=ratios) for each in (model, with_other_padding(model))]
    assert found[0].keys() == found[1].keys()
    for path, values in found[0].items():
        np.testing.assert_allclose(values, found[1][path], rtol=1e-3, atol=1e-3, err_msg=path)
