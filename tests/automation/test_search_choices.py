"""What `autoprune` tries and chooses, where an oracle says what each model is worth: no training, no files."""

import json

import numpy as np
import pytest
from support.autoprune_runs import bound_of, decided, search

import keras_prune as kp
from keras_prune.automation import attempts

CORE = pytest.mark.core
BUDGET = kp.Budget(bytes=900)  # of 1,764


def widths(model):
    return tuple(layer.units for layer in model.layers[:-1])


def balanced(model, epochs):
    """Best where both layers keep the same fraction."""
    first, second = widths(model)
    return 0.99 - abs(first / 16 - second / 12) / 2


def lopsided(model, epochs):
    return 0.99 - 0.1 * (1 - widths(model)[1] / 12)


@CORE
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("budget", [BUDGET, None])
def test_uniform_and_greedy_are_tried_alike_and_the_better_one_wins(task, oracle, tmp_path, budget, sign):
    arguments = {"methods": ["channels"], "budget": budget, "max_drop": 0.3, "fine_tune_epochs": 3}
    if sign < 0:
        arguments |= {"metric": "loss"}
    oracle.sign, oracle.half = sign, 1e-6
    results = {}
    for name, score in (("uniform", balanced), ("greedy", lambda model, epochs: 1 - balanced(model, epochs) / 2)):
        oracle.score, oracle.trained = score, []
        if sign < 0:  # the bound is from the real model: its loss is near 0, that of the oracle near -1
            oracle.score = lambda model, epochs, score=score: score(model, epochs) - 0.9
        result = results[name] = search(task, tmp_path / name, **arguments)
        rounds = [each for each in result.front.candidates if each.epochs == 3]
        assert [each.allocation for each in rounds[:2]] == ["uniform", "greedy"]
        assert {each.epochs for each in oracle.trained[:2]} == {3}
        assert len({each.number for each in oracle.trained}) == len(oracle.trained)
        better = max(rounds[:2], key=lambda each: sign * each.metric)
        assert better.allocation == name
        if budget is not None:
            assert result.best.allocation == name
    # The uniform one is that of `prune_channels`.
    first, second = widths(results["uniform"].front.candidates[1].load())
    ratio = 1 - first / 16
    assert (first, second) in {widths(kp.prune_channels(task[0], ratio + more).model) for more in (0, 0.03, 0.06)}


@CORE
def test_the_budget_is_the_goal(task, oracle, tmp_path):
    """No candidate is made above it on the way, nor far below it; the most accurate within it is the result."""
    oracle.score = lopsided
    result = search(task, tmp_path / "out", methods=["channels"], budget=BUDGET, max_drop=0.5, fine_tune_epochs=2)
    assert result.met
    assert all(800 <= each.bytes <= 900 for each in result.front.candidates[1:])
    assert result.best.metric == max(each.metric for each in result.front.candidates[1:])
    assert 1 <= oracle.sized <= 16
    free = result.free
    assert free is None or (free.gzip_bytes < result.best.gzip_bytes and free.metric >= result.best.low)


@pytest.mark.parametrize("budget", [kp.Budget(macs=0.5), kp.Budget(params=0.5), kp.Budget(params=0.5, bytes=1000)])
def test_budgets_of_other_costs(task, oracle, tmp_path, budget):
    result = search(task, tmp_path / "out", budget=budget, max_drop=0.5, fine_tune_epochs=2)
    dense, *others = result.front.candidates
    assert result.met
    kinds = {each.name.split("-")[0] for each in others}
    assert kinds == ({"channels", "weights"} if set(budget.given) == {"params"} else {"channels"})
    for each in others:
        assert each.nonzeros <= (0.5 if "params" in budget.given else 1) * dense.parameters
        assert each.macs <= (0.5 if "macs" in budget.given else 1) * dense.macs
    assert {each.allocation for each in others} == {"uniform", "greedy"}


@CORE
def test_what_is_near_the_line_is_fine_tuned_for_longer(task, oracle, tmp_path):
    arguments = {"methods": ["channels"], "budget": BUDGET, "max_drop": 0.1, "fine_tune_epochs": 4}
    bound = bound_of(task, 0.1)

    def learning(model, epochs):
        return 1.0 if widths(model) == (16, 12) else bound - 0.004 + 0.003 * epochs / 4

    oracle.score = learning
    result = search(task, tmp_path / "near", **arguments)
    assert result.met
    assert not result.certain
    assert max(each.epochs for each in result.front.candidates) == 16  # 4, as many again, and twice as many
    assert result.best.epochs == 16
    assert "met, though not for certain" in str(result)
    oracle.score = lambda model, epochs: learning(model, epochs) - (epochs > 0) * 0.1
    result = search(task, tmp_path / "far", **arguments)
    assert max(each.epochs for each in result.front.candidates) == 8  # no longer: chance did not decide
    oracle.score = lambda model, epochs: 1.0
    result = search(task, tmp_path / "sure", **arguments)
    assert (result.met, result.certain) == (True, True)
    assert max(each.epochs for each in result.front.candidates) == 4  # as good as the unpruned model
    assert "met, though" not in str(result)


@CORE
def test_without_a_budget_chance_does_not_end_a_search_either(task, oracle, tmp_path):
    arguments = {"methods": ["channels"], "max_drop": 0.1, "fine_tune_epochs": 4, "step": 0.5, "resolution": 0.5}
    bound = bound_of(task, 0.1)
    oracle.score = lambda model, epochs: 1.0 if widths(model) == (16, 12) else bound - 0.006 + 0.001 * epochs
    result = search(task, tmp_path / "near", **arguments | {"max_drop": 0.1})
    assert result.met
    first, second, longer = result.front.candidates[1:4]
    assert [(each.epochs, each.metric >= bound) for each in (first, second, longer)] == [(4, False)] * 2 + [(8, True)]
    assert longer.allocation in (first.allocation, second.allocation)


def test_a_refusal_ends_with_what_to_try(task, oracle, tmp_path):
    oracle.score = lambda model, epochs: 1.0 - 0.4 * (1 - model.count_params() / 416) ** 2
    oracle.half = 0.001
    arguments = {"methods": ["channels"], "budget": BUDGET, "max_drop": 0.02, "fine_tune_epochs": 2}
    result = search(task, tmp_path / "out", **arguments)
    assert not result.met
    assert str(result).rstrip().splitlines()[-1].startswith("To try: ") or "To try: " in str(result)
    assert json.loads(result.to_json())["advice"] == list(result.advice)
    drop = float(result.advice[0].split("=")[1].split()[0])
    size = int(result.advice[1].split("=")[1].split(")")[0])
    assert search(task, tmp_path / "drop", **arguments | {"max_drop": drop}).met
    assert search(task, tmp_path / "size", **arguments | {"budget": kp.Budget(bytes=size)}).met
    assert result.best.metric >= result.bound  # the best is within the bound, as near to the budget as was found
    assert 900 < result.best.bytes < 1764


@CORE
def test_a_search_to_a_budget_resumes_wherever_it_died(task, oracle, tmp_path):
    noise = np.random.default_rng(0)
    oracle.score = lambda model, epochs: 1.0 if not epochs else 0.945 - abs(widths(model)[0] - 9) / 500 + epochs / 1000
    arguments = {"budget": kp.Budget(params=0.4), "max_drop": 0.06, "fine_tune_epochs": 2}
    whole = search(task, tmp_path / "whole", **arguments)
    names = [each.candidate for each in whole.decisions]
    assert len(names) > 5
    made = 0
    for oracle.fatal in (*names[1:], ""):
        oracle.trained = []
        oracle.size = lambda model: int(
            4 * model.count_params() * noise.uniform(0.9, 1.1)
        )  # found again, it would differ
        if oracle.fatal:
            with pytest.raises(KeyboardInterrupt):
                search(task, tmp_path / "killed", **arguments)
            made += len(oracle.trained) - 1
        else:
            resumed = search(task, tmp_path / "killed", **arguments)
            made += len(oracle.trained)
    assert made == len(names) - 1  # nothing was made twice
    assert decided(resumed) == decided(whole)
    assert [each.done for each in resumed.front.candidates] == [each.done for each in whole.front.candidates]


@CORE
def test_where_nothing_holds_the_unpruned_model_is_the_best(task, oracle, tmp_path):
    oracle.score = lambda model, epochs: 1.0 if not epochs else 0.5
    result = search(task, tmp_path / "out", methods=["channels"], max_drop=0.01)
    assert (result.met, result.best.name) == (False, "dense")
    assert {each.decision for each in result.decisions} == {"baseline", "rejected"}
    assert "it is not" in result.limit
    assert result.advice[0].startswith("max_drop=0.5 accepts channels-")


def test_a_model_is_in_memory_only_while_it_may_be_needed(task, oracle, tmp_path, monkeypatch):
    kept = []
    keep = attempts.Attempts.keep

    def watch(self, candidates):
        keep(self, candidates)
        kept.append(len(self._models))

    monkeypatch.setattr(attempts.Attempts, "keep", watch)
    search(task, tmp_path / "out", methods=["channels"], max_drop=0.5)
    assert max(kept) == 1


def test_journals_of_another_version_are_refused(task, oracle, tmp_path):
    search(task, tmp_path / "out", methods=["channels"])
    file = tmp_path / "out/journal.json"
    content = json.loads(file.read_text())
    for changed in ({**content, "format": 1}, {key: each for key, each in content.items() if key != "format"}):
        file.write_text(json.dumps(changed))
        with pytest.raises(
            ValueError, match=r"cannot be read. Received: .* of another version of `autoprune`.*name another"
        ):
            search(task, tmp_path / "out", methods=["channels"])
        with pytest.raises(ValueError, match="of another version"):
            kp.automation.ParetoFront.load(tmp_path / "out")
        assert json.loads(file.read_text()) == changed
