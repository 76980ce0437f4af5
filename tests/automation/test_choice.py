"""Choice and advice, of candidates that are given: by hand, in both directions of the metric."""

import pathlib
import types

import pytest
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.automation import Candidate, ParetoFront
from keras_prune.automation.advice import Settings, advise
from keras_prune.automation.choice import best_of, free, holds_surely, is_near, most_accurate, rivals
from keras_prune.automation.goal import Goal

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="no backend takes part")

DIRECTIONS = pytest.mark.parametrize("sign", [1, -1])


class Task:
    """Candidates of a metric that is an accuracy, or the same with the other sign."""

    def __init__(self, sign, max_drop=0.02, budget=None, quantize="int8"):
        self.sign, self.found = sign, []
        evaluation = types.SimpleNamespace(
            holds=lambda value, bound: sign * value >= sign * bound, bound=lambda drop: sign * 0.97 - sign * drop
        )
        self.goal = Goal(evaluation, max_drop, budget, quantize)
        self.bound = sign * (0.97 - max_drop)

    def add(self, name, metric, size, half=0.01, keras_metric=None, **others):
        ends = (None, None) if half is None else sorted((self.sign * (metric - half), self.sign * (metric + half)))
        kept = metric if keras_metric is None else keras_metric
        costs = (size, size, size, size, None, None)
        path, done = pathlib.Path(f"{name}.tflite"), others.pop("done", name)
        found = Candidate(name, self.sign * metric, self.sign * kept, *costs, path, done, *ends, **others)
        self.found.append(found)
        if len(self.found) == 1:
            self.goal.know(found)
        return found

    @property
    def front(self):
        return ParetoFront(tuple(self.found), "score", self.sign > 0)

    def advice(self, out_of_time=False, **settings):
        given = {"baseline": self.sign * 0.97, "kinds": ("channels", "weights"), "quantize": "int8"}
        given |= {"epochs": 4, "time_limit": None} | settings
        return advise(self.front, self.goal, Settings(**given), out_of_time)


@DIRECTIONS
def test_what_is_certain_and_what_is_near(sign):
    task = Task(sign)
    sure, met, missed, far = (task.add(f"c{m}", m, 100) for m in (0.965, 0.955, 0.945, 0.93))
    unknown = task.add("unknown", 0.965, 100, half=None)
    assert [holds_surely(task.front, each, task.bound) for each in task.found] == [True, False, False, False, False]
    assert [is_near(task.front, each, task.bound) for each in task.found] == [False, True, True, False, False]
    assert most_accurate(task.front, [far, met, sure, missed]) == [sure, met, missed, far]
    assert rivals(task.front, [met, sure, missed]) == [sure, met]  # two at most
    assert rivals(task.front, [sure, far]) == [sure]
    assert rivals(task.front, [unknown, sure]) == [unknown]  # equal, and without an interval


@DIRECTIONS
def test_with_a_budget_the_most_accurate_is_best_and_without_one_the_smallest(sign):
    task = Task(sign, budget=kp.Budget(bytes=50))
    task.add("dense", 0.97, 100)
    task.add("large", 0.99, 60)
    task.add("tiny", 0.951, 20)
    best = task.add("good", 0.965, 50)
    near = task.add("small", 0.957, 30)
    task.add("out", 0.94, 10)
    assert best_of(task.front, task.goal) == best
    assert free(task.front, best, task.goal) == near  # not "tiny", which is measurably worse
    smallest = Task(sign)
    smallest.found = task.found
    assert best_of(smallest.front, smallest.goal).name == "tiny"


@DIRECTIONS
def test_where_no_model_will_do(sign):
    task = Task(sign, budget=kp.Budget(bytes=50))
    task.add("dense", 0.97, 100)
    task.add("within", 0.94, 40)
    nearest = task.add("nearest", 0.951, 60)
    assert best_of(task.front, task.goal) == nearest
    lines = task.advice()
    assert lines[0] == f"max_drop=0.03 accepts within: score {sign * 0.94:.6g}, 40 bytes"
    assert lines[1] == f"Budget(bytes=60) is met by nearest, score {sign * 0.951:.6g}"
    assert lines[2] == "fine_tune_epochs=8: each candidate had 4 at first"
    # What is advised works.
    other = Task(sign, max_drop=0.03, budget=kp.Budget(bytes=50))
    other.found = task.found
    other.goal.know(task.found[0])
    assert best_of(other.front, other.goal).name == "within"
    assert other.goal.met_by(best_of(other.front, other.goal))


@DIRECTIONS
def test_advice_is_of_what_was_measured(sign):
    task = Task(sign, budget=kp.Budget(bytes=0.5))
    task.add("dense", 0.97, 100)
    task.add("short", 0.90, 40, done="a, epochs: 4", epochs=4)
    task.add("other", 0.91, 40, done="b, epochs: 4", epochs=4)
    task.add("longer", 0.925, 40, done="a, epochs: 8", epochs=8)
    lossy = task.add("lossy", 0.94, 80, keras_metric=0.96)
    lines = task.advice(out_of_time=True, time_limit=60.0, kinds=("weights",))
    assert lines == (
        "a time_limit above 60: the same call resumes where this one ended",
        f"max_drop=0.045 accepts longer: score {sign * 0.925:.6g}, 40 bytes",
        f"fine_tune_epochs=16: from 4 to 8 epochs the score of longer improved from {sign * 0.9:.6g} to "
        f"{sign * 0.925:.6g}",
        f'quantize="int16x8" or "float16", or quantization-aware training: {lossy.name} has {sign * 0.96:.6g} before '
        f"quantization and {sign * 0.94:.6g} after it",
        'methods=["channels", "weights"]: fewer channels make every file smaller',
    )


def test_advice_of_other_budgets():
    task = Task(1, budget=kp.Budget(params=0.3), quantize=None)
    task.add("dense", 0.97, 1000)
    task.add("half", 0.955, 512)
    lines = task.advice(quantize=None, kinds=("channels",), epochs=0)
    assert lines[0] == "Budget(params=0.512) is met by half, score 0.955"
    assert lines[1] == "fine_tune_epochs above 0: nothing was fine-tuned"
    assert lines[2].startswith('methods=["channels", "weights"]: zeros reduce this budget too')
    task = Task(1, budget=kp.Budget(bytes=100), quantize=None)
    task.add("dense", 0.97, 700)
    assert any(
        line == 'quantize="int8": the unpruned file would take about 200 bytes' for line in task.advice(quantize=None)
    )
