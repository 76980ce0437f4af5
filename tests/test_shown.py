"""Every result: one line as `repr`, tables as `str`, and HTML that fits any notebook."""

import html.parser
import re
import sys

import keras
import numpy as np
import pytest
from support.results import SETTINGS, made_results, model_and_data, result_classes
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.reporting.records import Records
from tflite_export.reporting import Shown, Table

only_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="the export needs TensorFlow")
NAME = "a<script>alert(1)</script>&\"'\x1b[31m"
LINE = 200


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_results(tmp_path_factory.mktemp("results"))


class Elements(html.parser.HTMLParser):
    """The elements, attributes and texts of HTML, and whether each is closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.data = [], set(), [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.data.append(data)


def check_html(text):
    """HTML that fits into a page of others: nothing is loaded or run, and its rules reach its own elements only."""
    found = Elements(text)
    assert found.tags <= {"style", "h2", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert {name for name, _ in found.attributes} <= {"class"}
    assert "://" not in text
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.S)
    for rule in re.findall(r"([^{}]+)\{", style):
        assert all("kp-report" in selector for selector in rule.split(","))
    # Letters and paper are the notebook's, light or dark; lines are grey.
    assert re.findall(r"(?:^|[;{])(?:color|background[a-z-]*):", style) == []
    assert set(re.findall(r"rgba?\([^)]*\)|#[0-9a-f]{3,8}\b", style)) == {"rgba(128,128,128,.35)"}
    return found


def check_line(result):
    assert repr(result).startswith(type(result).__name__)
    assert "\n" not in repr(result)
    assert len(repr(result)) <= LINE


@only_tensorflow
def test_every_class_of_results_is_shown():
    """A new one that is public, or stands in a field of another, must have the base, and an object below."""
    found = result_classes()
    assert len(found) > 50
    assert [cls for cls in found if not issubclass(cls, Shown)] == []
    assert not any(issubclass(cls, Shown) for cls in SETTINGS)


@only_tensorflow
def test_there_is_one_of_each(made):
    assert [cls for cls in result_classes() if cls not in made] == []
    assert Records in made


@only_tensorflow
def test_each_is_shown_in_all_ways(made):
    for cls, result in made.items():
        if not issubclass(cls, Shown):
            continue
        check_line(result)
        assert len(str(result)) >= len("Budget()"), cls
        assert "\x1b" not in str(result)
        assert len(result._repr_html_()) < 6000, cls
        check_html(result._repr_html_())


@pytest.mark.core
def test_results_are_one_line_on_every_backend():
    model, _, _ = model_and_data()
    result = kp.prune_channels(model, 0.5)
    found = [result, result.plan, result.report, result.choice, kp.summary(model), kp.cost(model)]
    analysis = kp.analyze_channels(model)
    found += [analysis, *analysis.groups, *analysis.groups[0].members, kp.explain(model, result)]
    for each in found:
        check_line(each)
        check_html(each._repr_html_())
        assert str(each)
    assert "<Functional 'residual'>" in repr(result)


@pytest.mark.core
def test_the_plan_says_what_it_removes():
    plan = kp.channels.ChannelPlan("abc", {"conv": (1, 2), NAME: tuple(range(10_000))})
    assert repr(plan) == "ChannelPlan(fingerprint='abc', removed=<2 by name>)"
    assert repr(kp.channels.ChannelPlan("abc", {"conv": (1, 2)})) == (
        "ChannelPlan(fingerprint='abc', removed={'conv': (1, 2)})"
    )
    assert "1, 2" in str(plan)
    assert "9999" in str(plan)
    assert "<script" not in plan._repr_html_()
    assert "conv" in plan._repr_html_()
    assert len(plan._repr_html_()) < 3000


def test_a_budget_is_quoted_as_it_was_written():
    budget = kp.Budget(macs=0.5, params=1000)
    assert repr(budget) == str(budget) == f"{budget}" == "Budget(macs=0.5, params=1000)"
    assert "1,000" in check_html(budget._repr_html_()).data
    assert "bytes" not in check_html(budget._repr_html_()).data


def test_lists_of_records_are_one_line():
    results = Records([kp.weights.PruningRound(0, None, 0.0), kp.weights.PruningRound(1, 0.5, 0.5)])
    assert repr(results) == "Records(2 PruningRound)"
    assert repr(Records()) == "Records()"
    assert "50.00%" in str(results)
    assert "50.00%" in check_html(results._repr_html_()).data


@pytest.mark.core
def test_there_may_be_no_terminal_and_no_output(monkeypatch):
    """IDLE and programs without a console have no streams of the system."""
    report = kp.cost(model_and_data()[0])
    text, line, part = str(report), repr(report), report._repr_html_()
    for name in ("__stdout__", "__stderr__", "stdout"):
        monkeypatch.setattr(sys, name, None)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "dumb")
    found = str(report), repr(report), report._repr_html_()
    monkeypatch.undo()
    assert found == (text, line, part)


def test_large_results_are_small_in_a_notebook_and_whole_in_a_file():
    layers = [keras.layers.Dense(3, name=f"{NAME[:4].replace('<', '_')}{'long_' * 60}{index}") for index in range(400)]
    model = keras.Sequential([keras.Input((3,)), *layers], name="deep")
    report = kp.cost(model)
    part = report._repr_html_()
    assert len(part) < 40_000
    assert "and 350 more rows" in check_html(part).data
    assert "Whole model" in check_html(part).data  # the totals stay
    assert all(f"_{index}<" in report.to_html() for index in range(400))
    assert len(repr(report)) < LINE


def test_notes_are_cut_in_a_notebook_too():
    class Long(Shown):
        def _tables(self):
            return [Table(("A", "B"), [("x" * 10_000, "1")])]

        def _unmet(self):
            return ["not " * 10_000] * 60

        def _notes(self):
            return ["word " * 10_000] * 1000

    assert len(Long()._repr_html_()) < 60_000
    assert "and 10 more lines" in check_html(Long()._repr_html_()).data
    assert "and 950 more lines" in check_html(Long()._repr_html_()).data
    assert str(Long()).count("word") == 10_000_000


def test_values_are_short_whatever_they_are():
    result = kp.measurement.ActivationStats(np.ones((3, 10_000)), np.float32(0.5), {"a": NAME})
    assert repr(result) == ("ActivationStats(magnitude=<float64 array of shape (3, 10000)>, norm=0.5, off=<1 by name>)")
    assert repr(kp.measurement.ActivationStats("x" * 10_000, "\n", None)).count("x") == 39
    assert "\\n" in repr(kp.measurement.ActivationStats("x" * 10_000, "\n", None))
    found = check_html(kp.measurement.ActivationStats(NAME, 1234567, True)._repr_html_())
    assert "1,234,567" in found.data
    assert "yes" in found.data
    assert NAME.replace("\x1b", "?") in found.data
