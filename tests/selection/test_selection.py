"""Selections on weights whose masks can be computed by hand."""

import keras
import numpy as np
import pytest

import keras_prune as kp
from keras_prune.importance import magnitude
from keras_prune.selection import Candidate


def select(selection, weights, sparsity=0.0, step=0, kept=None, importance=magnitude):
    weights = [np.asarray(weight, np.float32) for weight in weights]
    kept = kept or [np.ones(weight.shape, bool) for weight in weights]
    candidates = [
        lambda weight=weight, mask=mask: Candidate(weight, importance, np.asarray(mask, bool))
        for weight, mask in zip(weights, kept, strict=True)
    ]
    return [np.asarray(mask).astype(int).tolist() for mask in selection.select(candidates, sparsity, step)]


def test_percentile_per_layer():
    assert select(kp.Percentile(), [[-4, 1, -2, 3], [0.1, 0.2]], 0.5) == [[1, 0, 0, 1], [0, 1]]


def test_percentile_global_ranks_all_layers_together():
    assert select(kp.Percentile("global"), [[-4, 1, -2, 3], [0.1, 0.2]], 0.5) == [[1, 0, 1, 1], [0, 0]]


def test_percentile_keeps_the_same_number_when_all_weights_are_equal():
    (mask,) = select(kp.Percentile(), [np.ones(10)], 0.5)
    assert mask == [1] * 5 + [0] * 5


def test_percentile_never_brings_a_weight_back():
    kept = [[1, 0, 1, 1]]
    assert select(kp.Percentile(), [[1, 9, 2, 3]], 0.0, kept=kept) == kept
    assert select(kp.Percentile(), [[1, 9, 2, 3]], 0.5, kept=kept) == [[0, 0, 1, 1]]
    # A kept weight that happens to be zero is chosen before a pruned one.
    assert select(kp.Percentile(), [[0, 0, 0, 5]], 0.5, kept=[[0, 1, 1, 1]]) == [[0, 1, 0, 1]]


def test_threshold_prunes_below_the_value():
    assert select(kp.Threshold(2.0), [[-4, 1, -2, 1.99]]) == [[1, 0, 1, 0]]
    assert select(kp.Threshold(0.0), [[0.0, 1]]) == [[1, 1]]
    assert select(kp.Threshold(100.0), [[1, 2]]) == [[0, 0]]


def test_threshold_does_not_bring_a_weight_back():
    assert select(kp.Threshold(0.0), [[3.0, 0.0]], kept=[[1, 0]]) == [[1, 0]]


def test_relative_threshold_is_a_fraction_of_the_largest():
    assert select(kp.RelativeThreshold(0.5), [[-4, 1, -2, 1.99], [0.1, 0.04]]) == [[1, 0, 1, 0], [1, 0]]


def test_std_threshold_is_a_multiple_of_the_standard_deviation():
    weight = np.array([-3.0, -1.0, 1.0, 3.0])  # std = sqrt(5) = 2.236
    assert select(kp.StdThreshold(1.0), [weight]) == [[1, 0, 0, 1]]
    assert select(kp.StdThreshold(0.44), [weight]) == [[1, 1, 1, 1]]
    shifted = np.array([10.0, 11.0, 12.0, 0.5])  # std = 4.62: the mean is not part of it
    assert select(kp.StdThreshold(1.0), [shifted]) == [[1, 1, 1, 0]]


def test_std_threshold_equals_numpy_on_a_large_array(rng):
    weight = rng.normal(3, 2, size=300_000).astype(np.float32)
    (mask,) = select(kp.StdThreshold(1.0), [weight])
    np.testing.assert_array_equal(np.array(mask, bool), np.abs(weight) >= np.float32(weight.std(dtype=np.float64)))


def test_mean_threshold_is_below_the_mean_of_the_scores():
    weight = np.array([-1.0, 2.0, 3.0, -6.0])  # |w|: mean 3, std = sqrt(3.5) = 1.871
    assert select(kp.MeanThreshold(0), [weight]) == [[0, 0, 1, 1]]
    assert select(kp.MeanThreshold(1), [weight]) == [[0, 1, 1, 1]]
    assert select(kp.MeanThreshold(1.07), [weight]) == [[1, 1, 1, 1]]


def test_mean_threshold_counts_pruned_weights_as_zeros():
    weight, kept = np.array([0.0, 2.0, 3.0, -6.0]), [[0, 1, 1, 1]]  # mean 2.75, std 2.165
    assert select(kp.MeanThreshold(0.4), [weight], kept=kept) == [[0, 1, 1, 1]]  # without the zero: 2.986
    assert select(kp.MeanThreshold(0.3), [weight], kept=kept) == [[0, 0, 1, 1]]


def test_a_threshold_may_be_a_schedule():
    selection = kp.Threshold(kp.PolynomialDecay(final_sparsity=0.8, end_step=10, power=1))
    assert select(selection, [[0.1, 0.5, 0.9]], step=0) == [[1, 1, 1]]
    assert select(selection, [[0.1, 0.5, 0.9]], step=5) == [[0, 1, 1]]
    assert select(selection, [[0.1, 0.5, 0.9]], step=10) == [[0, 0, 1]]
    assert select(kp.RelativeThreshold(lambda step: step / 10), [[1, 2]], step=6) == [[0, 1]]


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), "0.5", None, True])
@pytest.mark.parametrize("kind", [kp.Threshold, kp.RelativeThreshold, kp.MeanThreshold, kp.StdThreshold])
def test_bad_thresholds_are_refused(kind, bad):
    with pytest.raises(ValueError, match="Received: "):
        kind(bad)


@pytest.mark.parametrize("kind", [kp.Threshold, kp.RelativeThreshold, kp.MeanThreshold, kp.StdThreshold])
def test_thresholds_may_be_numbers_of_numpy(kind):
    value = np.quantile(np.array([1, 2, 3], np.float32), 0.5)
    assert isinstance(value, np.float32)
    assert select(kind(value), [[1.0, 9.0]]) == select(kind(2.0), [[1.0, 9.0]])


def test_a_schedule_that_gives_a_bad_threshold_is_refused():
    with pytest.raises(ValueError, match=r"value\(3\)"):
        select(kp.Threshold(lambda step: -1.0), [[1.0]], step=3)


def test_bad_scope_is_refused():
    with pytest.raises(ValueError, match="'all'"):
        kp.Percentile("all")


def test_importance_of_ones_own_higher_is_kept():
    assert select(kp.Percentile(), [[1, 2, 3, 4]], 0.5, importance=lambda weight: -weight) == [[1, 1, 0, 0]]


def test_importance_may_return_the_weight_itself_and_it_stays_as_it_was():
    weight = np.array([1, 2, 3, 4], np.float32)
    candidate = Candidate(weight, lambda w: w, np.array([True, False, True, True]))
    scores = candidate.scores().tolist()
    assert scores[::2] + scores[3:] == [1, 3, 4]
    assert scores[1] < -1e37
    assert weight.tolist() == [1, 2, 3, 4]


def test_importance_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="one score for each weight"):
        select(kp.Percentile(), [[1, 2]], 0.5, importance=lambda weight: weight.sum(keepdims=True))


class Every(kp.selection.Selection):
    """Keeps every n-th weight, and gives its masks in a list, `more` than it should."""

    needs_sparsity = False

    def __init__(self, n, more=0):
        self.n, self.more = n, more

    def select(self, candidates, sparsity, step):
        masks = []
        for candidate in (fetch() for fetch in candidates):
            mask = np.arange(candidate.weight.size) % self.n == 0
            masks.append(mask.reshape(candidate.weight.shape) & candidate.kept)
        return (masks + masks)[: len(masks) + self.more]


@pytest.mark.core
def test_a_selection_of_ones_own():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    pruned = kp.prune_weights(model, selection=Every(2))
    for kernel in (layer.layer.kernel for layer in pruned.layers):
        kernel = keras.ops.convert_to_numpy(kernel).reshape(-1)
        assert (kernel != 0).tolist() == (np.arange(kernel.size) % 2 == 0).tolist()
    for more, received in ((-1, "fewer"), (1, "more")):
        with pytest.raises(ValueError, match=rf"one mask for each candidate\. Received: {received}, of .*Every"):
            kp.prune_weights(model, selection=Every(2, more))
