"""In a real kernel, as of Jupyter, VS Code or Colab: what is printed, what is shown, and how progress looks."""

import json
import re

import pytest
from support.zoo import BACKEND

if BACKEND != "tensorflow":
    pytest.skip("once is enough, and the export needs TensorFlow", allow_module_level=True)

from support.kernels import printed, run_cells, shown

BEGIN = """
import json
import keras
import numpy as np
import keras_prune as kp
from support.results import made_results, model_and_data
model, x, y = model_and_data()
"""
EVERY = """
from IPython.display import display
from tflite_export.reporting import Shown

made = [each for each in made_results(".").values() if isinstance(each, Shown)]
for each in made:
    display(each)
"""
# What `print` writes is what `str` says, and what it says in a program: rich, which draws the tables, has a way of its
# own in notebooks.
TEXTS = """
print(kp.cost(model))
open("cost.txt", "w").write(str(kp.cost(model)))
print(json.dumps([[type(each).__name__, str(each)] for each in made]))
"""
PROGRESS = """
from keras_prune.reporting import progress

progress.PATIENCE = 0.0
kept = list(progress.track(range(300), 300, "Working"))
for _ in progress.track(iter("abc"), None, "Of unknown length"):
    pass
scan = kp.sensitivity(model, (x, y), ratios=(0.3, 0.6))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernel")


@pytest.fixture(scope="module")
def outputs(folder):
    """The outputs of these cells, which one kernel ran."""
    cells = {
        "begin": BEGIN,
        "every": EVERY,
        "texts": TEXTS,
        "progress": PROGRESS,
        "plot": "kp.cost(model).plot()",
        "assigned": "axes = kp.summary(model).plot()",
        "page": "page = kp.explain(model, kp.prune_channels(model, 0.5)).to_html()",
    }
    return dict(zip(cells, run_cells(cells.values(), folder), strict=True))


def test_every_result_is_shown_as_a_table_with_one_line_for_other_readers(outputs):
    pages, lines = shown(outputs["every"], "text/html"), shown(outputs["every"], "text/plain")
    assert len(pages) == len(lines) > 50
    for page, line in zip(pages, lines, strict=True):
        assert len(page) < 6000
        assert "<table" in page or "<p" in page or "<h2" in page
        assert "\n" not in line
        assert len(line) <= 200
        assert re.match(r"\w+\(", line)


def test_print_and_files_have_the_whole_table(outputs, folder):
    text = printed(outputs["texts"])
    for words in ("Cost of 'residual', one sample", "branch", "Whole model", "Peak of activations"):
        assert words in text.split("[[")[0]
    assert (folder / "cost.txt").read_text().strip() in text
    assert shown(outputs["texts"], "text/html") == []
    assert "Effective MACs" in text[text.index("[[") :]


def test_the_text_of_each_is_whole(outputs):
    found = dict(json.loads(printed(outputs["texts"]).strip().splitlines()[-1]))
    assert len(found) > 50
    for name, text in found.items():
        assert text.strip(), name
        assert "\x1b" not in text
    assert "first" in found["ChannelReport"]
    assert "8 x 8" in found["ExportReport"]


def test_progress_is_lines_that_a_saved_notebook_can_keep(outputs):
    text = printed(outputs["progress"])
    assert re.search("[\x1b\b\r]", text) is None
    lines = text.splitlines()
    for title in ("Working", "Of unknown length", "Sensitivity: 6 evaluations"):
        assert 0 < len([line for line in lines if line.startswith(f"{title}: ")]) < 30


def test_a_plot_is_shown_once(outputs):
    assert len(shown(outputs["plot"], "image/png")) == 1
    assert len(shown(outputs["assigned"], "image/png")) == 1
    assert [each for each in outputs["page"] if each.output_type == "display_data"] == []  # a page's plots are its own


def test_nothing_that_is_ours_goes_to_the_error_stream(outputs):
    streams = [each for cell in outputs.values() for each in cell if each.output_type == "stream"]
    errors = "".join(each.text for each in streams if each.name == "stderr")
    assert "keras_prune" not in errors
    assert "Traceback" not in errors
