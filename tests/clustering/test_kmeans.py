"""k-means on a line, against a naive one as the oracle."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_prune.clustering.kmeans import kmeans
from keras_prune.masking.clusters import representatives

core = pytest.mark.core
numbers = hnp.arrays(
    st.sampled_from(["float32", "float64"]),
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=8),
    elements=st.floats(-100, 100, width=32),
)


def naive(values, clusters, start, iterations=1000):
    """Lloyd's algorithm with a distance for each pair, and the documented rule for centres without numbers."""
    values = values.ravel().astype("float64")
    if np.unique(values).size <= clusters:
        return np.unique(values)
    if start == "linear":
        centres = np.linspace(values.min(), values.max(), clusters)
    else:
        centres = np.sort(values)[[values.size * (2 * k + 1) // (2 * clusters) for k in range(clusters)]]
    before = None
    for _ in range(iterations):
        nearest = np.argmin(np.abs(values[:, None] - centres), axis=1)  # of two, the lower: centres ascend
        if before is not None and np.array_equal(before, nearest):
            break
        before = nearest
        groups = [values[nearest == k] for k in range(clusters) if (nearest == k).any()]
        widest = sorted(groups, key=lambda group: -len(group) * np.ptp(group) ** 2)
        ends = [max((g.min(), g.max()), key=lambda end, g=g: abs(end - g.mean())) for g in widest if np.ptp(g) > 0]
        centres = np.sort([*(group.mean() for group in groups), *ends[: clusters - len(groups)]])
    return centres[np.unique(nearest)]


@pytest.mark.parametrize("start", ["linear", "density"])
@pytest.mark.parametrize("clusters", [2, 5, 16])
@pytest.mark.parametrize("draw", ["normal", "uniform", "laplace", "exponential", "gap"])
def test_kmeans_finds_what_a_naive_one_does(draw, clusters, start, rng):
    values = rng.normal(size=800) if draw == "gap" else getattr(rng, draw)(size=800)
    if draw == "gap":  # what is left after pruning
        values = values[np.abs(values) > 1.2]
    book = kmeans(values, clusters, start)
    centres = naive(values, clusters, start)
    assert book.values.size == clusters
    np.testing.assert_allclose(book.values, centres, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(book.assignment, np.argmin(np.abs(values[:, None] - centres), axis=1))


@given(numbers, st.integers(2, 9), st.sampled_from(["linear", "density"]))
def test_each_number_is_in_the_nearest_of_at_most_so_many_clusters(values, clusters, start):
    book = kmeans(values, clusters, start)
    assert book.assignment.shape == values.shape
    assert (np.diff(book.values) > 0).all()
    assert book.values.dtype == values.dtype
    assert set(np.unique(book.assignment)) == set(range(book.values.size))
    assert book.values.size <= clusters
    distances = np.abs(values[..., None].astype("float64") - book.values.astype("float64"))
    chosen = np.take_along_axis(distances, book.assignment[..., None].astype(int), -1)[..., 0]
    np.testing.assert_array_equal(chosen, distances.min(-1))


@given(numbers, st.integers(2, 6), st.sampled_from(["linear", "density"]))
def test_the_error_never_rises_from_an_iteration_to_the_next(values, clusters, start):
    values = values.astype("float64")

    def error(iterations):
        book = kmeans(values, clusters, start, iterations)
        return np.sum((values - book.values[book.assignment]) ** 2)

    errors = [error(iterations) for iterations in range(1, 8)] + [error(1000)]
    for before, after in itertools.pairwise(errors):
        assert after <= before + 1e-9 * (1 + np.sum(values**2))


@pytest.mark.parametrize("clusters", [3, 4, 300])
def test_few_different_numbers_are_kept_exactly(clusters, rng):
    values = rng.choice(np.array([-0.7, 0.1, 2.5], "float32"), size=(4, 50))
    book = kmeans(values, clusters)
    np.testing.assert_array_equal(book.values[book.assignment], values)
    assert book.assignment.dtype == ("uint8" if clusters <= 256 else "int32")


def test_kmeans_goes_over_large_arrays_in_pieces(rng):
    values = rng.normal(size=(1 << 20) + 5).astype("float32")
    book = kmeans(values, 4)
    limits = (book.values[1:].astype("float64") + book.values[:-1]) / 2
    np.testing.assert_array_equal(book.assignment, np.searchsorted(limits, values, side="left"))
    members = values < 1
    first = representatives(book.assignment, members, 6)
    expected = [np.flatnonzero((book.assignment == k) & members)[:1] for k in range(6)]
    np.testing.assert_array_equal(first, [each[0] if each.size else 0 for each in expected])
