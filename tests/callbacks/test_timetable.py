"""When masks are updated, and to which sparsity: functions of the step, without a model."""

import numpy as np
import pytest
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.callbacks.timetable import Timetable
from keras_prune.weights.rule import PruningRule

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="no backend takes part")


def table(schedule=None, selection=None, targets=None, frequency=3, regrowth=None):
    return Timetable(schedule, PruningRule.of(selection, "magnitude", targets, False, regrowth), frequency, regrowth)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("frequency", [1, 3, 7, 100])
@pytest.mark.parametrize(("begin", "end"), [(0, 20), (5, 19), (4, 4), (6, None)])
def test_the_last_step_that_was_due(begin, end, frequency, again):
    """By a walk over all steps: every `frequency` of them from the first to the last, and the last in any case."""
    if end is None:

        def schedule(step):
            return 0.5

        schedule.begin_step = begin
    else:
        schedule = kp.PolynomialDecay(final_sparsity=0.5, end_step=end, begin_step=begin)
    found, last = table(schedule, frequency=frequency), None
    for step in range(50):
        regular = step >= begin and (step - begin) % frequency == 0
        if step == end or (regular and (end is None or step <= end or again)):
            last = step
        assert found.due(step, again) == last


def test_a_threshold_is_due_after_its_end_too_and_regrowth_has_an_end_of_its_own():
    threshold = table(selection=kp.Threshold(kp.PolynomialDecay(final_sparsity=0.3, end_step=5)), frequency=2)
    assert (threshold.begin_step, threshold.end_step, threshold.schedule) == (0, 5, None)
    assert [threshold.due(step) for step in (4, 5, 6, 9)] == [4, 5, 6, 8]
    assert threshold.most_at(5) == 0
    regrown = table(kp.PolynomialDecay(final_sparsity=0.5, end_step=10), regrowth=kp.RigL(end_step=31))
    assert (regrown.end_step, regrown.due(30), regrown.due(31), regrown.due(60)) == (31, 30, 31, 31)


def test_each_target_has_its_schedule():
    schedule = kp.PolynomialDecay(final_sparsity=0.8, end_step=10)
    found = table(schedule, targets={"a*": 0.4, "b": None})
    for step in range(12):
        share = schedule(step) / 0.8
        both = [found.sparsity_at(None, step), found.sparsity_at(0.4, step)]
        np.testing.assert_allclose(both, [0.8 * share, 0.4 * share])
        assert found.most_at(step) == schedule(step)
    with pytest.raises(ValueError, match=r"`schedule\(3\)` must be .*Received"):
        table(lambda step: step).sparsity_at(None, 3)
