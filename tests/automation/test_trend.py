"""Whether a candidate may still come within the bound: synthetic histories, and the epochs that `autoprune` gives."""

import math
import pathlib

import numpy as np
import pytest
from support.autoprune_runs import bound_of, search
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.automation import Candidate, ParetoFront
from keras_prune.automation.choice import is_near
from keras_prune.automation.trend import expected_gain

CORE = pytest.mark.core
ONCE = pytest.mark.skipif(BACKEND != "tensorflow", reason="no backend takes part")
DIRECTIONS = pytest.mark.parametrize("sign", [1, -1])

FLAT = (0.1, 0.5, 0.77, 0.77, 0.77, 0.77, 0.77)
RISING = (0.1, 0.5, 0.75, 0.7550, 0.7600, 0.7650, 0.77)
FALLING = (0.1, 0.77, 0.765, 0.76, 0.755, 0.75, 0.745)
JUMPED = (0.1, 0.765, 0.766, 0.767, 0.767, 0.767, 0.767)  # all that it gained was what the pruning broke


@ONCE
@pytest.mark.parametrize(
    ("history", "left", "gain"),
    [
        ((), 6, 0),
        ((0.1,), 6, 0),
        ((0.1, 0.7), 6, 0),  # of one epoch nothing can be told
        ((0.1, 0.7, 0.75), 2, 0.1),
        (FLAT, 6, 0),
        (RISING, 6, 0.03),  # 0.005 an epoch
        (RISING, 3, 0.015),
        (RISING, 0, 0),
        (FALLING, 6, 0),
        (JUMPED, 6, 0),
        ((0.1, 0.6, 0.7, 0.6, 0.65, 0.66), 5, 0),  # rises, but to no more than there was
        ((0.1, math.nan, 0.7, math.nan, 0.73), 4, 0.06),
        ((math.nan,) * 5, 4, 0),
        ((math.nan, math.nan, math.nan, math.nan, 0.5), 4, math.inf),  # it has just begun to learn
    ],
)
def test_what_epochs_to_come_gain(history, left, gain):
    assert expected_gain(history, left) == pytest.approx(gain)


@ONCE
@pytest.mark.parametrize("seed", range(20))
def test_noise_is_hardly_a_trend(seed):
    """It gains no more than its best is above the rest, for as many epochs again: a few standard deviations."""
    rng = np.random.default_rng(seed)
    for made in (2, 5, 12):
        noisy = 0.7 + rng.normal(scale=0.003, size=made + 1)
        gain = expected_gain(noisy, made)
        assert 0 <= gain <= 2 * (noisy.max() - noisy[: made // 2 + 1].max()) + 1e-12
        assert gain < 0.03
        # More epochs gain no less, and the history in units of its own changes nothing.
        assert expected_gain(noisy, made + 1) >= gain
        assert expected_gain(5 * noisy - 2, made) == pytest.approx(5 * gain)


@ONCE
@pytest.mark.parametrize("power", [0.3, 1.0, 2.0])
def test_a_curve_that_flattens_never_gains_more_than_expected(power):
    """So what is called hopeless is: the curves of learning are concave."""
    for made in range(2, 15):
        curve = [0.9 - 0.4 / (1 + epoch) ** power for epoch in range(3 * made)]
        assert curve[-1] - curve[made] <= expected_gain(curve[: made + 1], 2 * made - 1)


def candidate(sign, metric, half, history):
    low, high = (None, None) if half is None else sorted((sign * (metric - half), sign * (metric + half)))
    costs = (1, 1, 1, 1, None, None, pathlib.Path("a.tflite"), "a")
    return Candidate("a", sign * metric, sign * metric, *costs, low, high, history=tuple(sign * v for v in history))


@ONCE
@DIRECTIONS
@pytest.mark.parametrize(
    ("metric", "half", "history", "left", "near"),
    [
        (0.777, 0.018, FLAT, 6, False),  # 0.795: neither reaches 0.799
        (0.777, 0.018, FALLING, 6, False),
        (0.777, 0.018, JUMPED, 6, False),
        (0.777, 0.018, RISING, 6, True),  # 0.825
        (0.777, 0.018, RISING, 0, False),  # no epochs are left
        (0.737, 0.018, RISING, 6, False),  # 0.785: too slow
        (0.737, 0.018, RISING, 12, True),
        (0.777, 0.023, FLAT, 6, True),  # chance may have decided
        (0.777, None, FLAT, 6, False),
        (0.777, None, RISING, 6, True),  # the metric itself moves on
        (0.820, 0.018, RISING, 6, False),  # surely within it, no more is needed
        (math.nan, None, (math.nan,) * 4, 6, False),
    ],
)
def test_only_what_neither_chance_nor_epochs_can_bring_is_hopeless(sign, metric, half, history, left, near):
    found = candidate(sign, metric, half, history)
    assert is_near(ParetoFront((found,), "score", sign > 0), found, sign * 0.799, left) is near


def widths(model):
    return tuple(layer.units for layer in model.layers[:-1])


@CORE
@pytest.mark.parametrize("slope", [0.0, 0.002, 0.006])
def test_a_candidate_that_still_improves_is_fine_tuned_for_longer(task, oracle, tmp_path, slope):
    """Its interval ends below the bound after 8 epochs; in 8 more it gets there, if it gains 0.003 in each."""
    arguments = {"methods": ["channels"], "budget": kp.Budget(bytes=900), "max_drop": 0.1, "fine_tune_epochs": 4}
    bound = bound_of(task, 0.1)

    def values(effort):
        before = 0 if effort.hopeless is not None else effort.epochs  # 4 and 4 more, and 8 more
        return [0.5 + slope * (before + epoch) for epoch in range(effort.epochs + 1)]

    def learning(model, epochs):
        return 1.0 if widths(model) == (16, 12) else bound - 0.03 + slope * (epochs - 8)

    oracle.values, oracle.score = values, learning
    result = search(task, tmp_path / "out", **arguments)
    enough = slope > 0.003
    assert result.met == enough
    assert any(each.epochs == 16 for each in result.front.candidates) == enough
    assert (result.best.bytes <= 900) == enough
    again = kp.automation.ParetoFront.load(tmp_path / "out")
    assert [each.history for each in again.candidates] == [each.history for each in result.front.candidates]
    for each in result.front.candidates[1:]:
        assert len(each.history) == each.epochs + 1


@CORE
@pytest.mark.parametrize("slope", [0.0, 0.005])
def test_without_a_budget_too(task, oracle, tmp_path, slope):
    arguments = {"methods": ["channels"], "max_drop": 0.1, "fine_tune_epochs": 4, "step": 0.5, "resolution": 0.5}
    bound = bound_of(task, 0.1)
    oracle.score = lambda model, epochs: 1.0 if widths(model) == (16, 12) else bound - 0.015 + slope * (epochs - 4)
    oracle.values = lambda effort: [slope * epoch for epoch in range(effort.epochs + 1)]
    result = search(task, tmp_path / "out", **arguments)
    first, second, third = result.front.candidates[1:4]
    assert (first.epochs, second.epochs, third.epochs) == ((4, 4, 8) if slope else (4, 4, 4))
    assert (result.best.name != "dense") == bool(slope)
