import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_prune as kp

RAMPS = [kp.PolynomialDecay, kp.CosineDecay, kp.ExponentialDecay, kp.StepDecay]


def test_polynomial_is_tfmots_formula():
    schedule = kp.PolynomialDecay(initial_sparsity=0.2, final_sparsity=0.9, begin_step=100, end_step=500, power=3)
    for step in range(100, 700, 17):
        p = np.clip((step - 100) / (500 - 100), 0, 1)
        assert schedule(step) == pytest.approx(0.9 + (0.2 - 0.9) * (1 - p) ** 3)


def test_hand_computed_values():
    assert kp.CosineDecay(final_sparsity=0.8, end_step=1000)(500) == pytest.approx(0.4)
    assert kp.CosineDecay(final_sparsity=0.8, end_step=1000)(250) == pytest.approx(0.4 * (1 - math.sqrt(0.5)))
    # A quarter of the weights is left at the end, so half of them at half time.
    assert kp.ExponentialDecay(final_sparsity=0.75, end_step=100)(50) == pytest.approx(0.5)
    staircase = kp.StepDecay(final_sparsity=0.8, begin_step=10, end_step=50, jumps=4)
    assert [staircase(s) for s in (9, 10, 19, 20, 29, 30, 40, 49, 50, 99)] == pytest.approx(
        [0, 0, 0, 0.2, 0.2, 0.4, 0.6, 0.6, 0.8, 0.8]
    )
    assert [kp.ConstantSparsity(0.5, begin_step=3)(s) for s in (0, 2, 3, 100)] == [0, 0, 0.5, 0.5]


@pytest.mark.parametrize("ramp", RAMPS)
@given(
    begin=st.integers(0, 50),
    length=st.integers(0, 50),
    initial=st.floats(0, 0.99),
    final=st.floats(0, 0.99),
)
def test_ramps_stay_between_their_ends_and_reach_the_last(ramp, begin, length, initial, final):
    schedule = ramp(final_sparsity=final, initial_sparsity=initial, begin_step=begin, end_step=begin + length)
    values = [schedule(step) for step in range(begin, begin + length + 2)]
    assert all(min(initial, final) - 1e-9 <= value <= max(initial, final) + 1e-9 for value in values)
    assert values[length] == values[-1] == final
    rising = np.diff(values) * np.sign(final - initial)
    assert (rising >= -1e-12).all()
    if begin:
        assert schedule(begin - 1) == 0


@pytest.mark.parametrize("ramp", RAMPS)
def test_another_final_sparsity_keeps_the_curve(ramp):
    schedule = ramp(final_sparsity=0.8, initial_sparsity=0.4, begin_step=5, end_step=25)
    other = schedule.with_final_sparsity(0.2)
    assert other(25) == 0.2
    assert other(5) == 0.2  # a ramp never begins above where it ends
    assert schedule.final_sparsity == 0.8


@pytest.mark.parametrize("bad", [-0.1, 1.0, 1.5, float("nan"), float("inf"), "much", "0.5", True, False, None])
def test_bad_sparsity_is_refused(bad):
    for build in (
        lambda: kp.ConstantSparsity(bad),
        lambda: kp.PolynomialDecay(final_sparsity=bad, end_step=10),
        lambda: kp.PolynomialDecay(final_sparsity=0.5, initial_sparsity=bad, end_step=10),
    ):
        with pytest.raises(ValueError, match=r"\[0, 1\).*Received: "):
            build()


@pytest.mark.parametrize(
    "arguments",
    [
        {"begin_step": 11, "end_step": 10},
        {"begin_step": -1, "end_step": 10},
        {"end_step": -10},
        {"end_step": 2.5},
        {"end_step": float("nan")},
        {"end_step": True},
    ],
)
def test_bad_steps_are_refused(arguments):
    for ramp in RAMPS:
        with pytest.raises(ValueError, match="Received: "):
            ramp(final_sparsity=0.5, **arguments)


@pytest.mark.parametrize("power", [0, -1, float("nan"), float("inf"), "3", None])
def test_bad_powers_are_refused(power):
    with pytest.raises(ValueError, match=r"power.*Received: "):
        kp.PolynomialDecay(final_sparsity=0.5, end_step=10, power=power)


def test_numbers_of_numpy_are_numbers():
    steps = np.ceil(60_000 / 64).astype(np.int32)  # as tfmot's own guide computes them
    schedule = kp.PolynomialDecay(final_sparsity=np.float32(0.5), begin_step=np.int64(0), end_step=2 * steps)
    assert repr(schedule) == repr(kp.PolynomialDecay(final_sparsity=0.5, begin_step=0, end_step=1876))
    assert kp.StepDecay(final_sparsity=0.5, end_step=10.0, jumps=np.int8(2)).jumps == 2
    assert kp.ConstantSparsity(np.float64(0.5), np.uint8(3)) == kp.ConstantSparsity(0.5, 3)


def test_bad_jumps_are_refused():
    with pytest.raises(ValueError, match="jumps"):
        kp.StepDecay(final_sparsity=0.5, end_step=10, jumps=0)


def test_schedules_are_frozen_and_equal_by_value():
    schedule = kp.PolynomialDecay(final_sparsity=0.5, end_step=10)
    with pytest.raises(AttributeError):
        schedule.final_sparsity = 0.9
    assert schedule == kp.PolynomialDecay(final_sparsity=0.5, end_step=10)
