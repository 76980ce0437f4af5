"""What every report must do: `tflite_export.reporting.Report`."""

import html.parser
import json

import pytest


class _Text(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_data(self, data):
        self.found.append(data)


def check_report(report, *said):
    """Calls all that a report offers; each of `said` stands in its text, its Markdown and its HTML.

    Returns its facts and records, as JSON has them, and what its bars show: by name of the series the values.
    """
    facts = json.loads(report.to_json())
    records = facts.pop("records")
    assert [set(record) for record in records] == [set(record) for record in report.records()]
    page = _Text()
    page.feed(report.to_html())
    text, page = str(report), " ".join(page.found)
    for words in said:
        assert words in text
        assert words in report.to_markdown()
        assert words in page
    assert report._repr_html_() in report.to_html()
    matplotlib = pytest.importorskip("matplotlib", reason="the extra `plots`")
    matplotlib.use("Agg")  # no window
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = report.plot()
    try:
        bars = {bars.get_label(): [bar.get_width() for bar in bars] for bars in axes.containers}
    finally:
        plt.close(axes.figure)
    assert report.plot(axes) is axes
    return facts, records, bars
