"""Masks and weights of the least error, beside solutions by brute force and by NumPy's least squares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_prune.reconstruction.masks.given_mask import fit_and_price, fit_kept
from keras_prune.reconstruction.masks.quadratic import Quadratic
from keras_prune.reconstruction.masks.removal import remove

pytestmark = pytest.mark.core


def make(seed, groups=1, inputs=6, outputs=3, samples=40):
    """A quadratic from random data, the data, and the weights whose outputs are wanted."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(groups, samples, inputs)) @ rng.normal(size=(groups, inputs, inputs))
    weights = rng.normal(size=(groups, inputs, outputs))
    moments = np.swapaxes(x, 1, 2) @ x / samples
    return Quadratic.around(moments, weights), x, weights


def by_layer(size, sparsity):
    """Keep the highest scores of all together, exactly."""

    def choose(scores, kept, part):
        count = max(round(size * (1 - sparsity * part)), 1)
        order = np.argsort(np.where(kept, -scores, np.inf).reshape(-1), kind="stable")
        mask = np.zeros(size, bool)
        mask[order[: min(count, kept.sum())]] = True
        return mask.reshape(kept.shape) & kept

    return choose


def pairs(scores, kept, part):
    """One of each two inputs."""
    split = np.where(kept, scores, -1).reshape(len(kept), -1, 2, kept.shape[2])
    first = split[:, :, :1] >= split[:, :, 1:]
    return np.concatenate([first, ~first], axis=2).reshape(kept.shape) & kept


sizes = st.tuples(st.integers(0, 10_000), st.integers(1, 3), st.integers(2, 9), st.integers(1, 4))


@settings(max_examples=60)
@given(sizes, st.floats(0, 1))
def test_the_fit_is_that_of_least_squares(size, density):
    problem, x, weights = make(*size)
    kept = np.random.default_rng(size[0]).random(weights.shape) < density
    found = fit_kept(problem, kept)
    priced, rises = fit_and_price(problem, kept, np.linalg.inv(problem.moments))
    for group, output in np.ndindex(weights.shape[0], weights.shape[2]):
        mask = kept[group, :, output]
        expected = np.zeros(len(mask))
        wanted = x[group] @ weights[group, :, output]
        expected[mask] = np.linalg.lstsq(x[group][:, mask], wanted, rcond=None)[0]
        np.testing.assert_allclose(found[group, :, output], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(priced[group, :, output], expected, rtol=1e-4, atol=1e-5)
        error = problem.errors(found)[group, output]
        assert error == pytest.approx(np.mean((x[group] @ expected - wanted) ** 2), rel=1e-4, abs=1e-6)
        for index in np.flatnonzero(mask):  # the price of a weight is the rise of the error without it
            without = kept.copy()
            without[group, index, output] = False
            after = problem.errors(fit_kept(problem, without))[group, output]
            assert after - error == pytest.approx(rises[group, index, output], rel=1e-3, abs=1e-5)
    assert not found[~kept].any()
    assert not rises[~kept].any()


@settings(max_examples=40)
@given(sizes, st.floats(0, 1), st.sampled_from([0.0, 0.01, 1.0]))
def test_conjugate_gradients_never_lose_and_arrive(size, density, ridge):
    problem, _, weights = make(*size)
    problem = problem.damped(weights, ridge)
    kept = np.random.default_rng(size[0]).random(weights.shape) < density
    found = fit_kept(problem, kept, start=weights, operations=-1)
    assert not found[~kept].any()
    before = problem.errors(np.where(kept, weights, 0))
    assert (problem.errors(found) <= before + 1e-9 * (1 + before)).all()
    if ridge:
        np.testing.assert_allclose(found, fit_kept(problem, kept), rtol=1e-4, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 3))
def test_exact_removal_is_that_of_brute_force(seed, inputs, outputs):
    problem, _, weights = make(seed, 1, inputs, outputs)
    size = weights.size
    kept = np.ones(weights.shape, bool)
    for count in range(size // 2):  # the one whose removal raises the error least, after a fit of each
        tried = {}
        for place in zip(*np.nonzero(kept), strict=True):
            without = kept.copy()
            without[place] = False
            tried[place] = problem.error(fit_kept(problem, without))
        kept[min(tried, key=tried.get)] = False
        assert kept.sum() == size - count - 1
    found, fitted = remove(problem, np.ones_like(kept), by_layer(size, (size // 2) / size), weights, size // 2)
    np.testing.assert_array_equal(found, kept)
    np.testing.assert_allclose(fitted, fit_kept(problem, kept), atol=1e-8)


@settings(max_examples=60)
@given(sizes, st.floats(0, 0.95), st.sampled_from([0.0, 1e11]), st.integers(1, 3))
def test_masks_are_exact_and_no_error_is_above_that_without_a_fit(size, sparsity, operations, rounds):
    problem, _, weights = make(*size)
    problem = problem.damped(weights, 1e-3)
    before = np.random.default_rng(size[0]).random(weights.shape) < 0.9
    before[0, 0, 0] = True
    kept, found = remove(problem, before, by_layer(weights.size, sparsity), weights, rounds, operations)
    assert kept.sum() == min(before.sum(), max(round(weights.size * (1 - sparsity)), 1))
    assert not (kept & ~before).any()
    assert not found[~kept].any()
    error = problem.error(np.where(kept, weights, 0))
    assert problem.error(found) <= error + 1e-9 * (1 + error)


@pytest.mark.parametrize("operations", [0.0, 1e11])
def test_a_pattern_holds_in_every_group(operations):
    problem, _, weights = make(1, 2, 12, 5)
    kept, found = remove(problem, np.ones(weights.shape, bool), pairs, weights, operations=operations)
    assert (kept.reshape(2, 6, 2, 5).sum(axis=2) == 1).all()
    np.testing.assert_array_equal(found != 0, kept)


@pytest.mark.parametrize("operations", [0.0, 1e11])
def test_choices_are_better_than_those_by_size(operations):
    gains = []
    for seed in range(8):
        problem, _, weights = make(seed, 1, 24, 8, 200)
        problem = problem.damped(weights, 1e-4)
        choose = by_layer(weights.size, 0.6)
        _, found = remove(problem, np.ones(weights.shape, bool), choose, weights, operations=operations)
        by_size = choose(np.abs(weights), np.ones(weights.shape, bool), 1.0)
        gains.append(problem.error(fit_kept(problem, by_size)) / problem.error(found))
        assert problem.error(fit_kept(problem, by_size)) < problem.error(np.where(by_size, weights, 0))
    assert np.mean(gains) > 1.3, gains


def test_damping_keeps_what_the_inputs_say_nothing_of():
    moments = np.diag([1.0, 0.0, 2.0])[None]
    weights = np.array([[[1.0], [5.0], [2.0]]])
    problem = Quadratic.around(moments, weights).damped(weights, 1e-3)
    found = fit_kept(problem, np.array([[[True], [True], [False]]]))
    np.testing.assert_allclose(found[0, :, 0], [1, 5, 0], atol=1e-9)
    kept, _ = remove(problem, np.ones((1, 3, 1), bool), by_layer(3, 1 / 3), weights)
    np.testing.assert_array_equal(kept[0, :, 0], [True, False, True])
