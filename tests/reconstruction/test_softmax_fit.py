"""The fit of what stands before a softmax, against properties that its optimum has."""

import numpy as np
import pytest

from keras_prune.reconstruction.refitting import softmax_fit
from keras_prune.reconstruction.refitting.softmax_fit import can_fit_softmax, fit_softmax, softmax

pytestmark = pytest.mark.core


def divergence(columns, logits, weights):
    targets, given = softmax(logits), softmax(columns @ weights)
    return float((targets * (np.log(targets) - np.log(given))).sum())


def problem(rng, rows=300, inputs=5, outputs=4):
    columns = np.concatenate([rng.normal(size=(rows, inputs)), np.ones((rows, 1))], axis=1)
    logits = 3 * columns @ rng.normal(size=(inputs + 1, outputs)) + rng.normal(size=(rows, outputs))
    return columns, logits, np.linalg.lstsq(columns, logits, rcond=None)[0]


def test_the_divergence_falls_to_where_its_slope_is_that_of_the_ridge(rng):
    columns, logits, start = problem(rng)
    found = fit_softmax(columns, logits, start, True)
    assert divergence(columns, logits, found) < divergence(columns, logits, start)
    slope = columns.T @ (softmax(columns @ found) - softmax(logits))
    held = softmax_fit.RIDGE * len(columns) * np.square(columns).mean() * (found - start)
    np.testing.assert_allclose(slope[:-1], -held[:-1], atol=1e-3)
    np.testing.assert_allclose(slope[-1], 0, atol=1e-3)  # the bias is free


def test_what_is_right_stays(rng):
    columns, _, start = problem(rng)
    np.testing.assert_allclose(fit_softmax(columns, columns @ start, start, True), start, atol=1e-6)


def test_one_class_that_is_certain_stays_finite(rng):
    columns, logits, start = problem(rng)
    logits[:, 0] += 1e3
    found = fit_softmax(columns, logits, start, True)
    assert np.isfinite(found).all()


def test_wide_outputs_are_left_to_least_squares():
    assert can_fit_softmax(1024, 65, 10)
    assert not can_fit_softmax(1024, 768, 30522)
