"""Reports of both packages: the same six ways to read each, whatever names stand in it and however wide the terminal
is."""

import dataclasses
import html.parser
import importlib
import inspect
import io
import json
import math
import pathlib
import pkgutil
import re
import sys
import types
from collections.abc import Mapping

import keras
import numpy as np
import pytest
from support.zoo import BACKEND

import keras_prune as kp
import keras_prune.reporting.records
import tflite_export
from tflite_export.reporting import Bars, Report, Table
from tflite_export.reporting.tables import printable

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")
EVIL = "a|b\\|c<script>alert(1)</script>\x1b[31m*b*[x](http://y)$x^2$\n"
HOSTILE = "a|b<script>$x$[red]"
LONG = "encoder/block_{}/a_name_of_a_layer_that_is_longer_than_half_of_the_line"
NUMBERS = [f"{7**power:,}" for power in range(12)]


def wide(rows=12):
    """A table that no terminal has room for."""
    headings = ("Layer", "Class", "Weights before", "Weights after", "Bytes", "Share", "Why")
    why = "a sentence of many words that says why this layer, unlike all others, was pruned"
    return Table(
        headings,
        [
            (LONG.format(i), "SeparableConv2D", f"{7**i:,}", f"{6**i:,}", f"{5**i:,}", f"{i / 8:.2%}", why)
            for i in range(rows)
        ],
        "All layers",
        [("All", "", "123,456,789,012", "1", "-", "", "")],
    )


# Text.


@pytest.mark.parametrize("width", [40, 50, 60, 80, 120])
def test_text_keeps_to_the_width_and_cuts_neither_numbers_nor_names(width):
    table = wide()
    lines = table.text(width).splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for row in (*table.rows, *table.totals):
        for cell in row[2:6]:
            assert not cell or cell in words
    # A folded name goes on below itself: put together again, it is whole.
    firsts = "".join(line[:10].strip() for line in lines)
    assert all(heading.split()[0] in words for heading in table.headings)
    assert firsts.startswith("All layersLayer")
    joined = re.sub(r"\s", "", "".join(line.split("  ")[1] if line.startswith("  ") else "" for line in lines))
    assert all(LONG.format(index) in joined for index in range(12))


@pytest.mark.parametrize("width", [40, 60, 80])
def test_what_finds_no_room_follows_below_with_the_first_column(width):
    table = Table(("Model", *(f"run_{index}" for index in range(12))), [(LONG.format(1), *NUMBERS)])
    lines = table.text(width).splitlines()
    heads = [line for line in lines if line.strip().startswith("Model")]
    assert len(heads) > 1
    assert [word for head in heads for word in head.split() if word != "Model"] == list(table.headings[1:])
    assert max(map(len, lines)) <= width


def test_a_table_that_fits_is_in_one_piece_and_no_wider_than_its_cells():
    text = Table(("Name", "Number"), [("one", "1"), ("eleven", "11")]).text(120)
    assert [line.strip() for line in text.splitlines() if "--" not in line] == [
        "",
        "Name     Number",
        "one           1",
        "eleven       11",
    ]


def test_a_number_wider_than_the_line_is_whole():
    number = "1" * 70
    assert number in Table(("Name", "Number"), [(LONG, number)]).text(60)
    assert number in Table(None, [(LONG, f"it has {number} digits")]).text(60)


def test_numbers_within_words_are_not_split():
    change = "123,456,789,012,345 -> 9,876,543,210 (0.123456789% left)"
    words = Table(None, [(LONG, change), (LONG, "x")]).text(60).split()
    assert all(word in words for word in change.split())


def test_wide_letters_count_twice():
    lines = Table(("名前", "Number"), [("層" * 40, "1,234"), ("層", "5")]).text(60).splitlines()
    from rich.cells import cell_len

    assert max(map(cell_len, lines)) <= 60


def test_the_width_is_that_of_the_terminal(monkeypatch):
    for width in (40, 55, 70, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        assert width - 20 < max(map(len, wide().text().splitlines())) <= width
        assert wide().text() == wide().text(width)
    monkeypatch.setenv("COLUMNS", "10")
    assert max(map(len, wide().text().splitlines())) <= 40  # no narrower: all would be folded
    monkeypatch.delenv("COLUMNS")
    assert wide().text() == wide().text(120)


@pytest.mark.parametrize("setting", ["FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"])
def test_there_are_no_escape_codes(monkeypatch, setting):
    monkeypatch.setenv(setting, "1")
    assert "\x1b" not in wide().text(80)
    assert "[red]" in Table(("A",), [("[red]:smile:",)]).text(80)
    assert ":smile:" in Table(("A",), [("[red]:smile:",)]).text(80)


def test_in_a_notebook_text_is_text(monkeypatch):
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setattr("builtins.get_ipython", lambda: shell, raising=False)  # what rich asks
    for module in ("IPython", "IPython.display"):
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(display=pytest.fail))
    assert "123,456,789,012" in wide().text(80)


def test_tables_without_rows_are_their_title():
    for headings in (("A", "B"), None):
        empty = Table(headings, [], "Nothing here")
        assert (empty.text(), empty.markdown(), empty.html()) == ("Nothing here", "", "")


# Reports.


@dataclasses.dataclass(frozen=True)
class Inner:
    numbers: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    size: int
    ratio: float
    inner: Inner


@dataclasses.dataclass(frozen=True, eq=False)
class Example(Report):
    """A report with everything that a field may hold."""

    name: str
    rows: tuple[Row, ...]
    array: np.ndarray
    path: pathlib.Path
    by_name: dict

    def _tables(self):
        rows = [(row.name, f"{row.size:,}", f"{row.ratio:.2f}") for row in self.rows]
        return [Table(("Name", "Size", "Ratio"), rows, f"About {self.name}"), Table(None, [("Path", str(self.path))])]

    def _notes(self):
        return [f"All of it is {self.name}."]

    def _bars(self):
        names, series = [row.name for row in self.rows], {"ratio": [row.ratio for row in self.rows], "none": [None] * 2}
        return Bars(f"About {self.name}", "ratio", names, series)


def example(name=EVIL):
    rows = (Row(name, np.int64(1234), 0.5, Inner((1.0, math.nan))), Row("b", 2, math.inf, Inner(())))
    array = np.array([[1.0, np.nan], [-np.inf, 2.0]], "float32")
    return Example(name, rows, array, pathlib.Path("a") / "b", {1: {"x"}, None: np.bool_(True), "type": float})


def strictly(text):
    """What strict JSON says."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_is_strict_and_whole():
    found = strictly(example().to_json())
    assert found == {
        "name": EVIL,
        "array": [[1.0, None], [None, 2.0]],
        "path": str(pathlib.Path("a") / "b"),
        "by_name": {"1": ["x"], "None": True, "type": "<class 'float'>"},
        "records": [
            {"name": EVIL, "size": 1234, "ratio": 0.5, "inner": {"numbers": [1.0, None]}},
            {"name": "b", "size": 2, "ratio": None, "inner": {"numbers": []}},
        ],
    }


def test_records_are_the_rows():
    report = example()
    assert [record["name"] for record in report.records()] == [EVIL, "b"]
    assert report.records()[0]["inner"] is report.rows[0].inner
    assert dataclasses.replace(report, rows=()).records() == []


def test_text_has_no_code_for_the_terminal():
    text = str(example())
    assert "\x1b" not in text
    assert f"All of it is {printable(EVIL)}." in text


def test_the_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(Report), re.S)
    names = {"dataclasses": dataclasses, "Mapping": Mapping, "Report": Report, "Table": Table, "Bars": Bars}
    exec(code, names)
    report = names["Sizes"]({"a.tflite": 1000, "b.tflite": 250})
    assert strictly(report.to_json())["total"] == 1250
    assert "1,000" in str(report)


class Reader(html.parser.HTMLParser):
    """Notes the elements and the text of HTML."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.data = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.data.append(data)


@pytest.mark.parametrize("form", ["to_html", "_repr_html_"])
def test_names_stay_names_in_html(form):
    page = Reader(getattr(example(), form)())
    allowed = {"html", "head", "meta", "title", "style", "body", "h2", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert set(page.tags) <= allowed
    assert page.data.count(printable(EVIL)) == 1  # a cell
    assert f"About {printable(EVIL)}" in page.data
    assert f"All of it is {printable(EVIL)}." in page.data


def test_names_stay_names_in_markdown():
    lines = example().to_markdown().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table] == [4] * 4 + [3] * 3
    assert "<" not in "".join(lines)
    assert "](" not in "".join(lines)
    assert lines[0].startswith("**About a\\|b\\\\\\|c&lt;script>")
    assert table[1] == "| --- | --: | --: |"


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib", reason="the extra `plots`")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_bars_are_drawn_on_given_axes_and_on_new_ones(plt):
    ax = plt.subplots()[1]
    assert example().plot(ax) is ax
    new = example().plot()
    assert new is not ax
    for axes in (ax, new):
        axes.figure.savefig(io.BytesIO())  # what cannot be drawn fails here
        ratio, unknown = axes.containers
        assert [bar.get_width() for bar in ratio] == [0.5]  # what is unknown or infinite has no bar
        assert len(unknown) == 0
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ratio", "none"]
        assert r"\$x^2\$" in axes.get_title("left")


def test_one_series_needs_no_legend(plt):
    ax = Bars("Sizes", "bytes", ["a", "b", "c"], {"bytes": [1, 2, 3]}).draw()
    assert ax.get_legend() is None
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert [bar.get_width() for bar in ax.containers[0]] == [1, 2, 3]
    assert [round(bar.get_y() + bar.get_height() / 2, 6) for bar in ax.containers[0]] == [0, 1, 2]


# Every report that there is.


def modules():
    for package in (kp, tflite_export):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "__main__" not in module.name and ".workers" not in module.name:  # programs
                yield module.name


def reports(cls=Report):
    """All classes of reports in the two packages."""
    for module in modules():
        importlib.import_module(module)
    found = []
    for each in cls.__subclasses__():
        found += [each, *reports_below(each)]
    return [each for each in dict.fromkeys(found) if each.__module__.split(".")[0] in ("keras_prune", "tflite_export")]


def reports_below(cls):
    return [below for each in cls.__subclasses__() for below in (each, *reports_below(each))]


def test_every_report_says_what_it_shows():
    found = [cls for cls in reports() if not cls.__subclasses__()]  # others may be bases
    assert set(MADE) <= set(found)
    for cls in found:
        assert cls._tables is not Report._tables, cls
        assert cls._bars is not Report._bars or cls.plot is not Report.plot, cls
        frozen = dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen
        assert frozen or issubclass(cls, list), cls


def small(name="hidden"):
    """A small compiled model, with data for it."""
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(6, activation="relu", name=name), keras.layers.Dense(2)]
    )
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    return model, rng.normal(size=(32, 8)).astype("float32"), rng.normal(size=(32, 2)).astype("float32")


def summary():
    return kp.summary(kp.prune_weights(small(HOSTILE)[0], 0.5))


def model_comparison():
    model, x, y = small()
    return kp.compare({"dense": model, HOSTILE: kp.prune_weights(model, 0.5)}, x, y, runs=1)


def method_comparison():
    model, x, y = small()
    return kp.compare_methods(model, (x, y), (x, y), methods=["weights", "channels"], points=[0.6, 0.01], epochs=0)


def sensitivity():
    model, x, y = small()
    return kp.sensitivity(model, (x, y), ratios=(0.3, 0.6))


def layer_errors():
    model, x, _ = small(HOSTILE)
    return kp.layer_errors(model, x)


def explanation():
    model = small(HOSTILE)[0]
    return kp.explain(model, kp.prune_channels(model, 0.5))


def records():
    from keras_prune.reporting.records import Records
    from keras_prune.weights.iterative import PruningRound

    return Records([PruningRound(0, None, 0.0), PruningRound(1, 0.5, 0.5)])


# One report of each class; those of the other rooms are made in the tests of these.
MADE = {
    kp.insight.SparsitySummary: summary,
    kp.insight.ModelComparison: model_comparison,
    kp.insight.MethodComparison: method_comparison,
    kp.insight.Sensitivity: sensitivity,
    kp.weights.LayerErrors: layer_errors,
    kp.insight.Explanation: explanation,
    keras_prune.reporting.records.Records: records,
}


@pytest.mark.parametrize("cls", MADE, ids=lambda cls: cls.__name__)
def test_each_report_can_be_read_in_all_six_ways(cls, plt, monkeypatch):
    report = MADE[cls]()
    assert type(report) is cls
    for width in (40, 60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        for table in report._tables():
            assert max(map(len, table.text().splitlines()[bool(table.title) :])) <= width
        above = list(map(printable, report._unmet()))  # what was asked for and not reached comes first
        assert str(report).startswith("\n".join([*above, report._tables()[0].text()]))
    found = strictly(report.to_json())
    assert len(found["records"]) == len(report.records()) > 1
    assert report.records()[0].keys() == report.records()[-1].keys()
    for text in (report.to_html(), report._repr_html_()):
        assert "script" not in Reader(text).tags
        assert "table" in Reader(text).tags
    assert report.to_html().startswith("<!DOCTYPE html>")
    assert "<script" not in report.to_markdown()
    lines = [line for line in report.to_markdown().split("\n") if line.startswith("|")]
    assert len(re.findall(r"(?<!\\)\|", lines[0])) == len(re.findall(r"(?<!\\)\|", lines[2])) > 2
    ax = plt.subplots()[1]
    assert report.plot(ax) is ax
    for axes in (ax, report.plot()):
        assert axes.containers or axes.lines
        axes.figure.savefig(io.BytesIO())


def test_no_records_are_no_table():
    from keras_prune.reporting.records import Records

    assert str(Records()) == "No records yet"
    assert strictly(Records().to_json()) == {"records": []}
