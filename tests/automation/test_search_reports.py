"""What `autoprune` returns to be read: each result as text, Markdown, HTML, JSON, records and a plot."""

import json
import math
import pathlib

import keras
import pytest
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.automation import AutopruneResult, Candidate, Decision, Decisions, ParetoFront

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="no backend takes part")

DENSE = Candidate("dense", 0.9, 0.91, 1000, 800, 250, 250, None, 0.5, pathlib.Path("found/dense.tflite"), "not pruned")
SMALL = Candidate("weights-1", 0.88, 0.89, 1000, 200, 250, 50, None, None, pathlib.Path("found/s.tflite"), "20.0% kept")
FRONT = ParetoFront((DENSE, SMALL), "accuracy", True)
DECISIONS = Decisions(
    "accuracy",
    (
        Decision("dense", None, 0.9, 0.85, "baseline", "", 1.25),
        Decision("weights-1", 0.2, 0.88, 0.85, "accepted", "within the bound", 2.5),
        Decision("weights-2", 0.1, None, 0.85, "rejected", "the export failed", 3.0),
    ),
)
RESULT = AutopruneResult(keras.Sequential([]), SMALL, FRONT, DECISIONS, True, "No more.", 0.91, 0.85)
REPORTS = {"front": FRONT, "decisions": DECISIONS, "result": RESULT}


@pytest.mark.parametrize("name", REPORTS)
def test_every_way_to_read_a_report(name):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    report = REPORTS[name]
    names = [row["candidate" if name == "decisions" else "name"] for row in report.records()]
    assert names == ["dense", "weights-1", *(["weights-2"] if name == "decisions" else [])]
    found = json.loads(report.to_json())
    assert [row["candidate" if name == "decisions" else "name"] for row in found["records"]] == names
    for text in (str(report), report.to_markdown(), report.to_html(), report._repr_html_()):
        assert all(each in text for each in names)
        assert "0.88" in text
    assert report.to_html().startswith("<!DOCTYPE html>")
    assert report.plot().get_figure() is not None
    matplotlib.pyplot.close("all")


def test_decisions_are_a_sequence():
    assert len(DECISIONS) == 3
    assert [each.decision for each in DECISIONS] == ["baseline", "accepted", "rejected"]
    assert DECISIONS[-1].reason == "the export failed"
    assert DECISIONS[1:] == DECISIONS.decisions[1:]
    assert DECISIONS.records()[1] == {
        "candidate": "weights-1",
        "kept": 0.2,
        "metric": 0.88,
        "bound": 0.85,
        "decision": "accepted",
        "reason": "within the bound",
        "seconds": 2.5,
    }


def test_the_json_of_a_result_has_everything_but_the_model():
    found = json.loads(RESULT.to_json())
    assert found["best"] == found["records"][1]
    assert found["best"]["path"] == str(SMALL.path)
    assert found["decisions"] == DECISIONS.records()
    facts = {key: found[key] for key in ("met", "limit", "metric", "higher_is_better", "cost", "baseline", "bound")}
    assert facts == {
        "met": True,
        "limit": "No more.",
        "metric": "accuracy",
        "higher_is_better": True,
        "cost": "gzip_bytes",
        "baseline": 0.91,
        "bound": 0.85,
    }


def test_the_bars_of_a_result_are_the_fractions_that_are_kept():
    """Of costs that are unknown, or 0, there is no fraction."""
    bars = RESULT._bars()
    assert dict(zip(bars.names, bars.series["after"], strict=True)) == {
        "gzip_bytes": 0.25,
        "bytes": 1.0,
        "parameters": 1.0,
        "nonzeros": 0.2,
    }
    assert set(bars.series["before"]) == {1.0}
    assert all(math.isfinite(value) for value in bars.series["after"])


def test_the_names_are_public():
    for cls in (AutopruneResult, Candidate, Decision, Decisions, ParetoFront):
        assert getattr(kp.automation, cls.__name__) is cls
