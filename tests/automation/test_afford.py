"""The largest model that a budget allows: few probes, never above the budget."""

import math

import numpy as np
import pytest

from keras_prune.automation.afford import PROBES, afford


def probed(cost, whole, lowest=0.02):
    asked = []

    def excess(kept):
        asked.append(kept)
        return cost(kept)

    return afford(excess, whole, lowest), asked


@pytest.mark.parametrize("budget", [0.9, 0.5, 0.2])
@pytest.mark.parametrize("overhead", [0.0, 0.1, 0.4])
def test_costs_that_grow_with_what_is_kept(budget, overhead):
    """As bytes of a file do: a part for the graph, the rest for the weights."""
    budget = overhead + (1 - overhead) * budget
    found, asked = probed(lambda kept: (overhead + (1 - overhead) * kept) / budget, 1 / budget)
    assert 0.98 <= (overhead + (1 - overhead) * found) / budget <= 1
    assert len(asked) <= 4


@pytest.mark.parametrize("power", [0.5, 2.0])
@pytest.mark.parametrize("channels", [8, 40])
def test_costs_that_grow_in_steps_and_curves(power, channels):
    def cost(kept):
        return (math.floor(kept * channels + 1e-9) / channels) ** power / 0.4

    found, asked = probed(cost, 2.5, 1 / channels)
    assert cost(found) <= 1
    best = max(cost(kept) for kept in np.linspace(0, 1, 1001) if cost(kept) <= 1)
    assert cost(found) >= best - 0.02
    assert len(asked) <= PROBES


def test_a_budget_that_only_the_smallest_model_meets_or_none():
    assert probed(lambda kept: 1.0 if kept <= 0.1 else 2.0, 2.0, 0.1)[0] == pytest.approx(0.1, abs=0.02)
    assert probed(lambda kept: 1.5 + kept, 2.5, 0.1)[0] is None
