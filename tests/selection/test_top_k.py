"""The exact cut, against a stable sort as the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_prune.selection import top_k as cuts
from keras_prune.selection.top_k import LazyScores, Scores, count_kept, find_cut, keep_highest


def lazy(arrays):
    return [LazyScores(array.size, lambda array=array: Scores(array)) for array in arrays]


def cut_masks(arrays, keep):
    cut = find_cut(lazy(arrays), keep)
    masks = []
    for array in arrays:
        mask, cut = cut.split(Scores(array))
        masks.append(mask)
    return masks


def oracle(arrays, keep):
    """A stable sort of everything, highest first: equal scores stay in the order of their positions."""
    flat = np.concatenate([array.reshape(-1) for array in arrays])
    mask = np.zeros(flat.size, bool)
    mask[np.argsort(-flat, kind="stable")[:keep]] = True
    return np.split(mask, np.cumsum([array.size for array in arrays])[:-1])


def check(arrays, keep):
    for mask, expected, array in zip(cut_masks(arrays, keep), oracle(arrays, keep), arrays, strict=True):
        assert mask.shape == array.shape
        np.testing.assert_array_equal(mask.reshape(-1), expected)
    if len(arrays) == 1:
        np.testing.assert_array_equal(keep_highest(Scores(arrays[0]), keep).reshape(-1), oracle(arrays, keep)[0])


def test_by_hand():
    (mask,) = cut_masks([np.array([[3.0, 1.0], [2.0, 3.0]], np.float32)], 3)
    np.testing.assert_array_equal(mask, [[True, False], [True, True]])


def test_ties_are_broken_by_position():
    (mask,) = cut_masks([np.ones(10, np.float32)], 4)
    np.testing.assert_array_equal(mask, [True] * 4 + [False] * 6)
    first, second = cut_masks([np.ones(3, np.float32), np.ones((2, 2), np.float32)], 5)
    assert first.all()
    np.testing.assert_array_equal(second, [[True, True], [False, False]])


scores = st.lists(
    st.lists(st.sampled_from([-np.inf, 0.0, 0.5, 0.5, 1.0, 2.0, np.inf]) | st.floats(0, 3, width=32), min_size=1),
    min_size=1,
    max_size=4,
)


@given(scores, st.data())
def test_small_arrays_equal_a_stable_sort(lists, data):
    arrays = [np.array(values, np.float32) for values in lists]
    check(arrays, data.draw(st.integers(1, sum(array.size for array in arrays))))


@pytest.fixture
def small_samples(monkeypatch):
    """Brackets from tiny samples, so that arrays that a test can afford take every branch."""
    monkeypatch.setattr(cuts, "SAMPLE", 64)
    monkeypatch.setattr(cuts, "BLOCK", 100)


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(500, 4000),
    parts=st.integers(1, 5),
    kind=st.sampled_from(["normal", "zeros", "pruned", "few", "sorted", "lumps"]),
    keep=st.floats(0, 1),
)
def test_bracketed_arrays_equal_a_stable_sort(seed, size, parts, kind, keep):
    rng = np.random.default_rng(seed)
    values = np.abs(rng.normal(size=size)).astype(np.float32)
    if kind == "zeros":
        values[rng.random(size) < 0.8] = 0
    elif kind == "pruned":
        values[rng.random(size) < 0.8] = -np.inf
    elif kind == "few":
        values = rng.integers(0, 3, size).astype(np.float32)
    elif kind == "sorted":
        values.sort()
    elif kind == "lumps":
        values[: size // 2] *= 1e-6  # a sample by stride sees both halves, but any bracket may still miss
        values[::7] = 1
    arrays = np.split(values, np.sort(rng.integers(1, size, parts - 1)))
    arrays = [array for array in arrays if array.size]
    saved = cuts.SAMPLE, cuts.BLOCK
    cuts.SAMPLE, cuts.BLOCK = 64, 100
    try:
        check(arrays, max(1, round(keep * size)))
    finally:
        cuts.SAMPLE, cuts.BLOCK = saved


@pytest.mark.usefixtures("small_samples")
def test_a_sample_that_sees_the_wrong_scores_is_mended():
    # The stride of the sample is odd, and every score it meets is 0: the rest are larger, and the cut is among them.
    values = np.linspace(1, 2, 64 * 15, dtype=np.float32)
    values[:: (values.size // 64) | 1] = 0
    check([values], 100)
    check([-values - 1], values.size - 100)


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("left", [0.3, 0.99])
def test_what_is_left_out_is_never_kept(rng, sparsity, left):
    values = rng.normal(size=(3, 1000)).astype(np.float32)
    values[0, ::3] = 0.25  # ties
    kept = rng.random(values.shape) >= sparsity
    keep = int(left * np.count_nonzero(kept))
    expected = oracle([np.where(kept, 2 * np.abs(values), -np.inf)], keep)[0].reshape(values.shape)

    scores = Scores(values, kept, np.abs, 2.0)
    np.testing.assert_array_equal(keep_highest(scores, keep), expected)
    np.testing.assert_array_equal(find_cut([LazyScores(scores.size, lambda: scores)], keep).split(scores)[0], expected)


def test_large_array_equals_a_sort(rng):
    values = np.abs(rng.normal(size=1_000_003)).astype(np.float32)
    values[rng.random(values.size) < 0.7] = 0
    for keep in (1, 1000, 290_000, 299_000, 700_000, values.size):
        check([values], keep)


def test_nan_is_refused():
    for position in (0, 77, 4999):
        values = np.ones(5000, np.float32)
        values[position] = np.nan
        with pytest.raises(ValueError, match=r"NaN.*Received: "):
            find_cut(lazy([values]), 10)


def test_count_kept_rounds_and_keeps_one():
    assert [count_kept(10, s) for s in (0, 0.5, 0.94, 0.99)] == [10, 5, 1, 1]
    assert count_kept(0, 0.5) == 0
