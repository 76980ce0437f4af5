"""Budgets that are distributed among layers: beside all possible choices, tried one after the other."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_prune.reconstruction.allocation import allocate, distribute, spend

pytestmark = pytest.mark.core

options = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), min_size=1, max_size=4)


def split(layers):
    return [[error for error, _ in each] for each in layers], [[cost for _, cost in each] for each in layers]


@settings(max_examples=200)
@given(st.lists(options, min_size=1, max_size=4), st.integers(1, 40))
def test_the_choice_is_the_best_of_all(layers, budget):
    errors, costs = split(layers)
    tried = [
        (sum(error[at] for error, at in zip(errors, choice, strict=True)), choice)
        for choice in itertools.product(*(range(len(each)) for each in layers))
        if sum(cost[at] for cost, at in zip(costs, choice, strict=True)) <= budget
    ]
    if not tried:
        with pytest.raises(ValueError, match="Received: "):
            allocate(errors, costs, budget)
        return
    found = allocate(errors, costs, budget, steps=max(budget - sum(map(min, costs)), 1))
    assert sum(cost[at] for cost, at in zip(costs, found, strict=True)) <= budget
    assert sum(error[at] for error, at in zip(errors, found, strict=True)) == min(tried)[0]


@settings(max_examples=100)
@given(st.lists(st.integers(2, 500), min_size=1, max_size=5), st.floats(0.05, 1))
def test_all_of_the_budget_is_spent_and_no_more(sizes, density):
    densities = 0.8 ** np.arange(20)
    costs = [list(size * densities) for size in sizes]
    errors = [list((1 - densities) ** (2 + index)) for index in range(len(sizes))]
    budget = density * sum(sizes)
    chosen = allocate(errors, costs, budget)
    assert sum(cost[at] for cost, at in zip(costs, chosen, strict=True)) <= budget * (1 + 1e-9)
    found = spend(errors, costs, chosen, budget)
    assert sum(found) == pytest.approx(budget)
    assert all(low <= cost <= size + 1e-9 for low, cost, size in zip([0] * len(sizes), found, sizes, strict=True))


def test_layers_that_suffer_most_get_most():
    costs = [[10, 5, 1], [10, 5, 1]]
    errors = [[0, 1, 4], [0, 0.1, 0.2]]
    assert allocate(errors, costs, 11) == [0, 2]
    assert spend(errors, costs, [1, 1], 13) == [8, 5]


FRACTIONS = [1.0, 0.7, 0.4, 0.1]
layer = st.tuples(st.integers(1, 40), st.integers(0, 40), st.integers(1, 4))


@settings(max_examples=100)
@example([(1, 1, 1), (1, 1, 1), (7, 0, 1)], 0.5, 0.5)
@given(st.lists(layer, min_size=1, max_size=4), st.floats(0.1, 1), st.floats(0.1, 1))
def test_several_budgets_hold_and_one_is_used_up(layers, first, second):
    costs = [[each[0] for each in layers], [each[1] for each in layers]]
    budgets = [first * sum(costs[0]), second * sum(costs[1])]
    errors = [[(1 - fraction) ** each[2] for fraction in FRACTIONS] for each in layers]
    found = np.array(distribute(errors, FRACTIONS, costs, budgets))
    assert ((found >= 0.1 - 1e-9) & (found <= 1)).all()
    used = np.array(costs) @ found / np.maximum(budgets, 1e-9)
    assert (used <= 1 + 1e-6).all()
    assert used.max() > 1 - 1e-6 or (found > 1 - 1e-6).all()


@settings(max_examples=50)
@given(st.lists(layer, min_size=1, max_size=4), st.floats(0.1, 1))
def test_a_second_budget_that_never_binds_changes_little(layers, density):
    costs = [each[0] for each in layers]
    errors = [[(1 - fraction) ** each[2] for fraction in FRACTIONS] for each in layers]
    one = distribute(errors, FRACTIONS, [costs], [density * sum(costs)])
    both = distribute(errors, FRACTIONS, [costs, costs], [density * sum(costs), sum(costs)])
    assert np.dot(costs, both) == pytest.approx(np.dot(costs, one), rel=1e-3)


def test_a_budget_below_the_cheapest_is_refused():
    with pytest.raises(ValueError, match="Received: "):
        distribute([[0, 1]], [1.0, 0.5], [[10], [4]], [20, 1])
