"""Models whose weights share values are pruned on by the controllers: values stay shared, and zeros come."""

import keras
import numpy as np
import pytest
from support.controller_runs import Metric, assert_zeros_hold, fit
from support.zoo import mlp, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked, masked_sparsity

pytestmark = pytest.mark.core
CLUSTERS = 8


def clustered():
    keras.utils.set_random_seed(0)
    return kp.cluster_weights(mlp(), clusters=CLUSTERS)


def assert_shared(model):
    for weight in find_masked(model):
        kernel = value(weight.weight.value)
        assert np.unique(kernel[kernel != 0]).size <= CLUSTERS
    assert_zeros_hold(model)


@pytest.mark.filterwarnings("ignore:HoldAccuracy")
def test_hold_accuracy_prunes_what_is_shared_and_steps_back():
    model = clustered()
    hold = kp.HoldAccuracy("val_score", max_drop=0.1, mode="max")
    fit(model, Metric(lambda sparsity, *_: 1.0 if sparsity < 0.45 else 0.5), hold, epochs=8)
    assert "baseline" in str(hold.decisions)
    assert 0.3 < masked_sparsity(find_masked(model)) < 0.45  # 50% was tried, and fell
    assert_shared(model)


@pytest.mark.parametrize("rewind", [None, "weights"])
def test_iterative_magnitude_prunes_what_is_shared(rewind):
    model = clustered()
    for each in kp.IterativeMagnitude(model, 0.8, rounds=3, rewind=rewind):
        fit(each, epochs=1)
        assert_shared(each)
    assert masked_sparsity(find_masked(model)) == pytest.approx(0.8, abs=0.01)
