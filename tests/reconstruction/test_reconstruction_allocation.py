"""Budgets that are distributed among layers: beside all possible choices, tried one after the other."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_prune.reconstruction.allocation import allocate, spend

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
