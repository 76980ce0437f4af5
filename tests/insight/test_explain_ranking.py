"""Ranks, cuts, and positions in short: what `explain` counts with."""

import numpy as np
import pytest

from keras_prune.insight.explain.pattern import find_patterns
from keras_prune.insight.explain.ranking import find_cut, positions_text, ranks

pytestmark = pytest.mark.core


def test_ranks_are_the_order_in_which_all_would_go():
    scores = np.array([[3.0, 1.0, 2.0], [1.0, -1.0, 3.0]])
    np.testing.assert_array_equal(ranks(scores), [[6, 3, 4], [2, 1, 5]])


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ([1, 1, 0, 0], (2, 2, 2.0, 3.0, 0, 3.0)),
        ([1, 0, 0, 1], (2, 2, 4.0, 2.0, 1, None)),
        ([0, 0, 0, 0], (0, 4, None, 1.0, 0, None)),
        ([1, 1, 1, 1], (4, 0, 4.0, None, 0, None)),
    ],
)
def test_a_cut_counts_what_the_scores_do_not_explain(gone, expected):
    cut = find_cut(np.array([1.0, 2.0, 3.0, 4.0]), np.array(gone, bool))
    assert (cut.removed, cut.kept, cut.highest_removed, cut.lowest_kept, cut.overlap, cut.threshold) == expected


def test_equal_scores_on_both_sides_are_no_overlap():
    assert find_cut(np.ones(4), np.array([True, False, True, False])).overlap == 0


def test_positions_are_told_in_short():
    assert positions_text((0, 1, 2, 5, 7, 8)) == "0-2, 5, 7-8"
    assert positions_text(tuple(range(0, 20, 2)), limit=3) == "0, 2, 4, and 7 more"
    assert positions_text(()) == ""


def test_chance_is_no_pattern(rng):
    from keras_prune.selection.layout import default_axes

    assert list(find_patterns(rng.random((32, 16)) < 0.5, default_axes(2))) == []
