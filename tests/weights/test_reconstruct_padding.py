"""What padding becomes makes no difference to the weights that are fitted, where it makes none to the outputs."""

import numpy as np
import pytest
from keras import layers, ops
from support.sentences import Block, each, flat, functional, mean, reader, sentences, with_other_padding

import keras_prune as kp

pytestmark = [
    pytest.mark.core,
    pytest.mark.filterwarnings("ignore:Layer 'flatten'"),
    pytest.mark.filterwarnings("ignore:Some layers read fewer"),
]


def lstm(x):
    return layers.LSTM(6, return_sequences=True, name="lstm")(x)


def backwards(x):
    return layers.Bidirectional(layers.GRU(4, return_sequences=True), name="both")(x)


def fitted(model, x):
    pruned = kp.strip_pruning(kp.prune_weights(model, 0.6, targets={"table": None}, reconstruct=x))
    return [np.array(ops.convert_to_numpy(weight)) for weight in pruned.weights if "table" not in weight.path]


@pytest.mark.parametrize(("body", "end"), [(functional, mean), (lambda x: Block()(x), mean), (functional, each)])
def test_padding_is_left_out(body, end):
    model, x = reader(body, end), sentences()
    for weights, others in zip(fitted(model, x), fitted(with_other_padding(model), x), strict=True):
        np.testing.assert_allclose(weights, others, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("body", [lstm, backwards])
def test_steps_that_change_no_state_are_left_out(body):
    model, x = reader(body), sentences()
    for weights, others in zip(fitted(model, x), fitted(with_other_padding(model), x), strict=True):
        np.testing.assert_allclose(weights, others, rtol=1e-3, atol=1e-4)


def test_padding_that_is_read_counts():
    model, x = reader(functional, flat), sentences()
    pairs = zip(fitted(model, x), fitted(with_other_padding(model), x), strict=True)
    assert any(np.abs(weights - others).max() > 1e-2 for weights, others in pairs)


def test_so_channels_are_chosen_by_words():
    model, x = reader(), sentences()
    both = [
        kp.prune_channels(each, ratios={"up": 0.5}, importance="reconstruction", data=x).model
        for each in (model, with_other_padding(model))
    ]
    kernels = [ops.convert_to_numpy(each.get_layer("up").kernel) for each in both]
    assert kernels[0].shape[1] == 8
    np.testing.assert_array_equal(*kernels)
