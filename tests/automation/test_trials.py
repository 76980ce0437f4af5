"""Allocations by trial: against a landscape whose best place is known, and in a whole search."""

import sys
import types

import numpy as np
import pytest
from support.autoprune_runs import decided, search

import keras_prune as kp
from keras_prune.automation.allocate import GreedyPath, Step, first_where
from keras_prune.automation.trials import allocate_by_trials

SIZES = {"a": 100, "b": 100, "c": 50}
MOST = {"a": 0.9, "b": 0.9, "c": 0.8}


def left(allocation):
    return 1 - sum(SIZES[name] * ratio for name, ratio in allocation.items()) / sum(SIZES.values())


@pytest.fixture
def method():
    """Its greedy path takes from "a" first, then from "b" and "c"."""
    path = GreedyPath(tuple(Step(name, 0.0, ratio) for name, ratio in MOST.items()))
    return types.SimpleNamespace(path=path)


def run(method, judge, held=None, target=0.6, lower=False, trials=30, seed=0):
    greedy = method.path.reach(left, target)
    found = allocate_by_trials(
        method.path, left, held or {}, greedy, target, judge, lower_is_better=lower, trials=trials, seed=seed
    )
    return greedy, found


@pytest.mark.parametrize("lower", [False, True])
def test_it_finds_what_the_greedy_path_passes_by(method, lower):
    def judge(allocation):  # "a" is expensive and "b" is free
        drop = 5 * allocation.get("a", 0) + allocation.get("c", 0)
        return drop if lower else -drop

    greedy, found = run(method, judge, lower=lower)
    assert greedy == pytest.approx({"a": 0.9, "b": 0.1}, abs=1e-6)
    assert left(found) <= 0.6
    assert abs(judge(found)) < abs(judge(greedy)) / 4  # the best possible is 0.1 of "c" and no "a"
    assert run(method, judge, lower=lower)[1] == found, "the same seed finds the same"


def test_the_greedy_allocation_stands_if_no_trial_is_better(method):
    greedy = method.path.reach(left, 0.6)
    _, found = run(method, lambda allocation: float(allocation == greedy), trials=10)
    assert found == greedy


def test_every_trial_reaches_the_target_and_takes_nothing_back(method):
    seen = []

    def judge(allocation):
        seen.append(allocation)
        return np.nan if len(seen) % 2 else -allocation["c"]  # a model may fall apart

    held = {"a": 0.3, "b": 0.2}
    _, found = run(method, judge, held, target=0.5)
    assert len(seen) == 31
    for allocation in seen[1:]:
        assert left(allocation) == pytest.approx(0.5, abs=1e-6)
        assert all(held.get(name, 0) <= ratio <= MOST[name] + 1e-9 for name, ratio in allocation.items())
    assert found in seen


def test_the_first_place_where_something_holds():
    assert first_where(lambda number: number >= 0.3, 2.0) == pytest.approx(0.3)
    assert first_where(lambda number: number >= 3, 2.0) == 2.0


def test_a_search_with_trials_resumes(task, quick, tmp_path):
    few = {"fine_tune_epochs": 0, "budget": kp.Budget(params=0.8), "max_drop": 0.2}  # one round, and no training
    arguments = {"search": "optuna", "trials": 3, "methods": ["weights"], **few}
    whole = search(task, tmp_path / "out", **arguments)
    assert whole.met
    assert decided(search(task, tmp_path / "out", **arguments)) == decided(whole)
    with pytest.raises(ValueError, match="with other data or settings"):
        search(task, tmp_path / "out", **{**arguments, "trials": 4})


def test_bad_input(task, quick, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"`search` must be .*Received: search=.best."):
        search(task, tmp_path / "out", search="best")
    with pytest.raises(ValueError, match="`trials` must be"):
        search(task, tmp_path / "out", search="optuna", trials=0)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="needs optuna: pip install optuna"):
        search(task, tmp_path / "out", search="optuna")
    assert not (tmp_path / "out").exists()
