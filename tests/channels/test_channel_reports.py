"""What `analyze_channels` and `prune_channels` return can be read as text, Markdown, HTML, JSON, records and bars."""

import html
import json
import re

import keras
import pytest
from keras import layers
from support.channel_zoo import randomise, residual, sizes_unknown

import keras_prune as kp
from tflite_export.reporting import Report

plt = pytest.importorskip("matplotlib.pyplot", reason="the extra `plots`")


@pytest.fixture(autouse=True)
def without_a_window():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def bars(axes):
    return {each.get_label(): [bar.get_width() for bar in each] for each in axes.containers}


def texts(report):
    """All that is to be read, as it is shown."""
    pages = [html.unescape(page) for page in (report.to_markdown(), report.to_html(), report._repr_html_())]
    return [str(report), *(re.sub(r"\\(.)", r"\1", page) for page in pages)]


def inexact():
    """LayerNormalization takes its mean and variance over the channels."""
    tokens = keras.Input((6,), dtype="int32")
    x = layers.LayerNormalization(name="norm")(layers.Embedding(10, 8, name="embedding")(tokens))
    return keras.Model(tokens, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(x)))


def unruly():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="stem")(inputs)
    x = layers.Lambda(lambda x: x * 2.0, name="a<b>|$c$")(x)
    return keras.Model(inputs, layers.Conv2D(6, 1, name="out")(x), name="<script>")


@pytest.mark.parametrize("build", [residual, inexact, unruly])
def test_an_analysis_reads_in_all_six_ways(build):
    analysis = kp.analyze_channels(build())
    assert isinstance(analysis, Report)
    records = analysis.records()
    assert [(each["name"], each["channels"]) for each in records] == [(g.name, g.size) for g in analysis.groups]
    assert [each["free"] for each in records] == [sum(not why for why in group.reasons) for group in analysis.groups]
    facts = json.loads(analysis.to_json())
    assert facts["records"] == json.loads(json.dumps(records))
    assert facts["fingerprint"] == analysis.fingerprint
    assert facts["unknown"] == analysis.unknown
    for text in texts(analysis):
        assert all(group.name in text for group in analysis.groups)
        assert ("are kept:" in text) == bool(analysis.unknown)
    assert "<script>" not in analysis.to_html()
    assert bars(analysis.plot()) == {
        "Can be removed": [each["free"] for each in records],
        "Always kept": [each["channels"] - each["free"] for each in records],
    }


@pytest.mark.parametrize("build", [residual, inexact, sizes_unknown, unruly])
def test_a_report_reads_in_all_six_ways(build):
    result = kp.prune_channels(randomise(build()), 0.5)
    report = result.report
    assert isinstance(report, Report)
    assert (str(result), result._repr_html_()) == (str(report), report._repr_html_())
    records = report.records()
    removed = {name: len(places) for name, places in result.plan.removed.items()}
    assert [each["before"] - each["after"] for each in records] == [removed.get(each["name"], 0) for each in records]
    facts = json.loads(report.to_json())
    assert facts["records"] == records
    assert facts["parameters_after"] == result.model.count_params()
    assert facts["macs"]["after"] == report.macs_after
    for text in texts(report):
        assert all(group.name in text for group in report.groups)
        assert f"{result.model.count_params():,}" in text
        for reason in (*report.frozen.values(), *report.inexact.values()):
            assert reason in text
    assert "<script>" not in report.to_html()
    assert bars(report.plot()) == {
        "Before": [each["before"] for each in records],
        "After": [each["after"] for each in records],
    }
    axes = plt.subplots()[1]
    assert report.plot(axes) is axes


@pytest.mark.parametrize("width", [80, 120])
def test_tables_keep_to_the_terminal(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    inputs = x = keras.Input((224, 224, 3))
    for index, units in enumerate((64, 128, 256, 512)):
        x = layers.Conv2D(units, 3, name=f"block_{index}_a_long_name_of_a_convolution")(x)
    report = kp.prune_channels(keras.Model(inputs, x), 0.5).report
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= width
    numbers = f"{report.groups[1].macs_before:,} -> {report.groups[1].macs_after:,}"
    assert len(numbers) > 25
    assert any(numbers in line for line in lines)  # in one piece


def test_a_column_says_what_was_before_and_after():
    report = kp.prune_channels(randomise(residual()), 0.5).report
    for group in report.groups:
        (line,) = (line for line in str(report).splitlines() if line.startswith(f"  {group.name} "))
        assert (f" {group.before} -> {group.after} " in line) == (group.before != group.after)
        assert f"{group.parameters_before:,} -> {group.parameters_after:,}" in line
