"""The parts of `autoprune` that see no model: allocation, pace, candidates and their front."""

import itertools
import json
import math
import pathlib

import numpy as np
import pytest
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.automation.allocate import greedy_path
from keras_prune.automation.clock import Clock, OutOfTime
from keras_prune.automation.pareto import Candidate
from keras_prune.automation.search import Pace
from keras_prune.insight.sensitivity.scan import SensitivityCurve

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="no backend takes part")


def sensitivity(values, levels=(0.2, 0.5, 0.8)):
    curves = tuple(SensitivityCurve(name, 100, row, (name,)) for name, row in values.items())
    return kp.insight.Sensitivity("weights", "accuracy", True, 0.9, levels, curves)


def test_the_greedy_path_by_hand():
    found = sensitivity({"a": (0.9, 0.8, 0.1), "b": (0.88, 0.89, 0.3)})
    path = greedy_path(found, {"a": (20, 50, 80), "b": (40, 100, 160)})
    # a to 0.2 is free. b to 0.5 costs 0.02 for 100, since 0.2 costs as much; a to 0.5 0.1 for 30; b to 0.8 0.58 for 60;
    # a to 0.8 0.7 for 30.
    assert [(step.name, step.before, step.after) for step in path.steps] == [
        ("a", 0.0, 0.2),
        ("b", 0.0, 0.5),
        ("a", 0.2, 0.5),
        ("b", 0.5, 0.8),
        ("a", 0.5, 0.8),
    ]
    assert path.at(0) == {}
    assert path.at(1.5) == {"a": 0.2, "b": 0.25}
    assert path.at(5) == {"a": 0.8, "b": 0.8}
    reached = path.reach(lambda ratios: 1 - ratios.get("a", 0) / 3 - ratios.get("b", 0) * 2 / 3, 0.7)
    assert reached == {"a": pytest.approx(0.2), "b": pytest.approx(0.35)}
    assert path.reach(lambda ratios: 1.0, 0.5) == path.at(5)


@pytest.mark.parametrize("seed", range(5))
def test_the_greedy_path_is_the_best_of_its_size_where_curves_are_convex(seed):
    """Against all allocations: none that saves as much costs less, at every place where a step is whole."""
    rng = np.random.default_rng(seed)
    drops = {name: np.cumsum(np.sort(rng.uniform(size=3))) for name in "abc"}  # equal gains: convex
    found = sensitivity({name: tuple(0.9 - row) for name, row in drops.items()}, (0.25, 0.5, 0.75))
    path = greedy_path(found, dict.fromkeys("abc", (1, 2, 3)))
    all_of_them = list(itertools.product(range(4), repeat=3))
    for place in range(len(path.steps) + 1):
        chosen = path.at(place)
        cost = sum(drops[name][round(ratio * 4) - 1] for name, ratio in chosen.items())
        saved = sum(round(ratio * 4) for ratio in chosen.values())
        others = [
            sum(drops[name][level - 1] for name, level in zip("abc", levels, strict=True) if level)
            for levels in all_of_them
            if sum(levels) == saved
        ]
        assert cost == pytest.approx(min(others))


def test_a_path_with_infinite_drops_and_no_gains_ends():
    found = sensitivity({"a": (math.nan, 0.5, math.nan), "b": (0.9, 0.9, 0.9)})
    path = greedy_path(found, {"a": (1, 2, 3), "b": (0, 0, 1)})
    assert [(step.name, step.after) for step in path.steps] == [("b", 0.8), ("a", 0.8)]


def test_the_pace_halves_what_is_between():
    pace = Pace(step=0.5, resolution=0.2)
    assert pace.next(1.0, None, 0.1) == 0.5
    assert pace.next(0.15, None, 0.1) == 0.1
    assert pace.next(0.1, None, 0.1) is None
    assert pace.next(0.5, 0.25, 0.1) == pytest.approx(math.sqrt(0.125))
    assert pace.next(0.5, 0.42, 0.1) is None


def test_the_clock():
    Clock(None).need(1e9, "It")
    Clock(100).need(10, "It")
    with pytest.raises(OutOfTime, match=r"It takes about 200 s.*time limit of 100 s"):
        Clock(100).need(200, "It")


def candidate(name, metric, size, **others):
    costs = {"bytes": size, "gzip_bytes": size, "parameters": size, "nonzeros": size, "macs": size, "latency_ms": 1.0}
    return Candidate(name, metric, metric, **{**costs, **others}, path=pathlib.Path(f"x/{name}.tflite"), done="it")


@pytest.mark.parametrize("higher", [True, False])
def test_the_front_is_what_nobody_beats(higher):
    rng = np.random.default_rng(0)
    found = [candidate(f"c{i}", int(rng.integers(8)), int(rng.integers(1, 8))) for i in range(30)]
    front = kp.automation.ParetoFront(tuple(found), "score", higher)
    sign = 1 if higher else -1

    def beaten(one):
        return any(
            sign * other.metric >= sign * one.metric
            and other.bytes <= one.bytes
            and (other.metric, other.bytes) != (one.metric, one.bytes)
            for other in found
        )

    assert {(each.metric, each.bytes) for each in front.front} == {
        (each.metric, each.bytes) for each in found if not beaten(each)
    }
    assert [row["front"] for row in front.records()].count(True) == len(front.front)
    json.dumps(front.records())


def test_the_best_of_a_front():
    found = kp.automation.ParetoFront(
        (candidate("dense", 0.9, 100), candidate("small", 0.8, 10, macs=None), candidate("mid", 0.85, 50)), "acc", True
    )
    assert found.best().name == "small"
    assert found.best(0.82).name == "mid"
    assert found.best(macs=60).name == "mid"  # those of "small" are unknown
    assert found.by("macs").front[0].name == "mid"
    assert "small" in str(found)
    for arguments in ({"bound": 0.95}, {"bytes": 5}):
        with pytest.raises(ValueError, match="No candidate is within"):
            found.best(**arguments)
    with pytest.raises(ValueError, match="size=3"):
        found.best(size=3)
    with pytest.raises(ValueError, match="cost='size'"):
        found.by("size")


def test_a_folder_without_a_search(tmp_path):
    with pytest.raises(ValueError, match="holds no search"):
        kp.automation.ParetoFront.load(tmp_path)
    (tmp_path / "journal.json").write_text('{"candidates": 3}')
    with pytest.raises(ValueError, match="holds no search"):
        kp.automation.ParetoFront.load(tmp_path)


def test_the_plot_of_a_front():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    found = kp.automation.ParetoFront(
        (candidate("dense", 0.9, 100), candidate("bad", 0.7, 60), candidate("small", 0.8, 10)), "accuracy", True
    )
    ax = found.plot()
    beaten, front = ax.lines
    assert list(beaten.get_xdata()) == [60]
    assert list(zip(front.get_xdata(), front.get_ydata(), strict=True)) == [(10, 0.8), (100, 0.9)]
    assert [text.get_text() for text in ax.texts] == ["small", "dense"]
    assert ax.get_ylabel() == "accuracy"
