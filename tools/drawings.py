"""Draws the pictures of the pages, with matplotlib (extra `plots`): `python tools/drawings.py` writes docs/images."""

import re
import tomllib
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle

import keras_prune as kp
from keras_prune.plots.style import COLOURS

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
BLUE, ORANGE, GREEN, RED = COLOURS[:4]
GREY = "#d8d8d8"
Cells = list[list[str]]  # colours, row by row


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure in which one unit is a cell of a matrix; y points down."""
    figure = Figure(figsize=(width * 0.3, height * 0.3), facecolor="white")  # white in a dark theme, too
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes


def cells(axes: Axes, x: float, y: float, colours: Cells, texts: list[list[str]] | None = None) -> None:
    """A matrix of coloured cells, with its upper left corner at (x, y)."""
    for row, line in enumerate(colours):
        for column, colour in enumerate(line):
            axes.add_patch(Rectangle((x + column, y + row), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.5))
            if texts is not None:
                dark = colour in (GREY, "white", ORANGE)
                label(axes, x + column + 0.5, y + row + 0.5, texts[row][column], "black" if dark else "white", 8)


def label(axes: Axes, x: float, y: float, text: str, colour: str = "black", size: float = 10) -> None:
    axes.text(x, y, text, ha="center", va="center", color=colour, fontsize=size)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float = 0) -> None:
    style = f"arc3,rad={bend}"
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color="#555", connectionstyle=style)
    )


def overview() -> Figure:
    """What the package is for, at a glance: zeros or fewer channels, and a file that was checked."""
    figure, axes = canvas(42.5, 14)
    rng = np.random.default_rng(3)
    removed = {1, 3, 4}
    label(axes, 4.3, 3, "trained Keras model", size=14)
    cells(axes, 1, 4, [[BLUE] * 6 for _ in range(6)])
    arrow(axes, (7.5, 6), (11.5, 3.5))
    arrow(axes, (7.5, 8), (11.5, 10.7))
    kept = np.zeros(24, bool)
    kept[rng.permutation(24)[:8]] = True
    axes.text(18.8, 1.3, "masks", fontsize=16, fontweight="bold", va="center")
    cells(axes, 12, 1, np.where(kept, BLUE, GREY).reshape(4, 6).tolist())
    axes.text(18.8, 3.7, "weights become zero\nwhile fit runs:\na smaller download", fontsize=13.5, va="center")
    axes.text(18.8, 9.3, "channels", fontsize=16, fontweight="bold", va="center")
    for column in range(6):
        for row in range(4):
            if column in removed:
                place = {"facecolor": "white", "edgecolor": RED, "linewidth": 0.8, "linestyle": (0, (2, 2))}
                axes.add_patch(Rectangle((12.1 + column, 9.1 + row), 0.8, 0.8, **place))
            else:
                cells(axes, 12 + column, 9 + row, [[BLUE]])
    axes.text(18.8, 11.7, "filters, units, heads\nare removed:\na smaller, faster model", fontsize=13.5, va="center")
    arrow(axes, (28.8, 3.7), (32, 6))
    arrow(axes, (28.8, 10.3), (32, 8))
    page = [(33, 3.5), (38, 3.5), (40, 5.5), (40, 10.5), (33, 10.5)]
    axes.add_patch(Polygon(page, closed=True, facecolor="white", edgecolor="#555", linewidth=1.5))
    axes.add_patch(Polygon([(38, 3.5), (38, 5.5), (40, 5.5)], closed=True, facecolor=GREY, edgecolor="#555"))
    axes.plot([34.5, 36, 38.5], [7.6, 9.2, 6.4], color=GREEN, linewidth=5, solid_capstyle="round")
    label(axes, 36.5, 2.5, "checked .tflite file", size=14)
    label(axes, 36.5, 12.2, "written only if LiteRT\ncomputes what Keras does", size=13.5)
    return figure


def masks() -> Figure:
    """weight * mask, with a real selection: the half of the smallest magnitude is pruned."""
    weights = np.array([[0.9, -0.1, 0.3, -0.7], [0.2, 0.8, -0.4, 0.1], [-0.6, 0.0, 0.5, -0.2]])
    kept = np.abs(weights) >= np.sort(np.abs(weights).ravel())[weights.size // 2]
    figure, axes = canvas(19, 5)
    shown = [[BLUE] * 4] * 3, np.where(kept, GREEN, GREY).tolist(), np.where(kept, BLUE, GREY).tolist()
    texts = weights, kept.astype(int), np.where(kept, weights, 0)
    for index, (title, colours, values) in enumerate(
        zip(("weights", "mask", "pruned weights"), shown, texts, strict=True)
    ):
        x = 1 + 6.5 * index
        label(axes, x + 2, 0.8, title)
        cells(axes, x, 1.5, colours, [[f"{value:g}" for value in row] for row in values])
    label(axes, 6.25, 3, "×", size=16)
    label(axes, 12.75, 3, "=", size=16)
    return figure


def step() -> Figure:
    """A training step of a model with masks, and the callback beside it."""
    figure, axes = canvas(30, 10)
    boxes = {
        "forward and\nbackward pass": (1, BLUE),
        "optimizer:\nnew weights": (8.5, BLUE),
        "weights × mask": (16, GREEN),
        "stored weights:\nexactly zero\nwhere pruned": (23.5, GREEN),
    }
    for text, (x, colour) in boxes.items():
        axes.add_patch(Rectangle((x, 1), 5.5, 3, facecolor=colour))
        label(axes, x + 2.75, 2.5, text, "white", 9)
    for x in (6.5, 14, 21.5):
        arrow(axes, (x, 2.5), (x + 2, 2.5))
    arrow(axes, (26.25, 4), (3.75, 4), -0.11)
    label(axes, 15, 6.2, "the next step", "#555", 9)
    axes.add_patch(Rectangle((9.5, 7.4), 18.5, 1.9, facecolor=ORANGE))
    label(axes, 18.75, 8.35, "each `frequency` steps: schedule → scores → new masks", size=9)
    arrow(axes, (18.75, 7.4), (18.75, 4))
    return figure


def schedules() -> Figure:
    """The sparsity of each schedule, as the schedules themselves compute it."""
    figure = Figure(figsize=(6.5, 3), layout="constrained", facecolor="white")
    axes = figure.subplots()
    ramps = kp.PolynomialDecay, kp.CosineDecay, kp.ExponentialDecay, kp.StepDecay
    steps = np.arange(0, 1201, 4)
    for ramp, colour in zip(ramps, COLOURS[:4], strict=True):
        schedule = ramp(final_sparsity=0.9, begin_step=100, end_step=1000)
        axes.plot(steps, [schedule(step) for step in steps.tolist()], color=colour, label=ramp.__name__)
    constant = kp.ConstantSparsity(0.9, begin_step=100)
    axes.plot(steps, [constant(step) for step in steps.tolist()], color=COLOURS[4], ls=":", label="ConstantSparsity")
    axes.set(xlabel="step (begin_step=100, end_step=1000)", ylabel="sparsity (final_sparsity=0.9)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def chain() -> Figure:
    """What belongs to one channel, in two convolutions and the normalisation between them."""
    figure, axes = canvas(29, 8.6)
    gone = 2
    column = [[RED if j == gone else BLUE for j in range(5)] for _ in range(3)]
    cells(axes, 1, 3, column)
    label(axes, 3.5, 1, "kernel of conv1\ninputs × filters")
    cells(axes, 9, 2.5, [[RED if j == gone else GREEN for j in range(5)]])
    cells(axes, 9, 4, [[RED if j == gone else GREEN for j in range(5)]])
    cells(axes, 9, 5.5, [[RED if j == gone else GREEN for j in range(5)]])
    label(axes, 11.5, 1, "scale, offset, statistics")
    label(axes, 11.5, 7.2, "of the normalisation", size=9)
    cells(axes, 17, 2, [[RED if i == gone else BLUE] * 4 for i in range(5)])
    label(axes, 19, 1, "kernel of conv2")
    for x in (6.3, 14.3):
        arrow(axes, (x, 4.5), (x + 2.4, 4.5))
    label(axes, 25.2, 4.5, "one channel:\na filter,\nits scale and offset,\nand the weights of it\nin the next layer", RED, 9)
    label(axes, 3.5, 6.8, "a filter is a column", size=9)
    label(axes, 19, 7.8, "the weights of an input are a row", size=9)
    return figure


def groups() -> Figure:
    """Labels that meet in a sum are removed together."""
    figure, axes = canvas(27, 7.8)
    stem, branch = ["0", "1", "2", "3"], ["4", "5", "6", "7"]
    label(axes, 3, 1, "stem")
    cells(axes, 1, 1.6, [[BLUE] * 4], [stem])
    label(axes, 3, 5.6, "branch2")
    cells(axes, 1, 6.2, [[ORANGE] * 4], [branch])
    axes.text(11, 4.2, "+", ha="center", va="center", fontsize=18)
    arrow(axes, (5.3, 2.1), (10.2, 3.8))
    arrow(axes, (5.3, 6.7), (10.2, 4.6))
    arrow(axes, (11.8, 4.2), (15, 4.2))
    label(axes, 21, 1.9, "four channels, each of two labels:")
    cells(axes, 15.5, 3.7, [[BLUE, ORANGE]], [["0", "4"]])
    for index in range(1, 4):
        cells(axes, 15.5 + 2.9 * index, 3.7, [[BLUE, ORANGE]], [[str(index), str(index + 4)]])
    label(axes, 21, 6.4, "label 1 is removed only together with label 5", "#555", 9)
    return figure


def movement() -> Figure:
    """Labels through concatenation and flattening: the same NumPy operation moves them."""
    first, second = np.array([0, 1]), np.array([2, 3, 4])
    joined = np.concatenate([first, second])
    flat = np.broadcast_to(joined, (2, 5)).reshape(-1)
    colour = np.array([BLUE, BLUE, ORANGE, ORANGE, ORANGE])

    def row(axes: Axes, x: float, y: float, labels: np.ndarray) -> None:
        cells(axes, x, y, [[colour[each] for each in labels]], [[str(each) for each in labels]])

    figure, axes = canvas(29, 7.2)
    label(axes, 2, 1, "first")
    row(axes, 1, 1.6, first)
    label(axes, 2.5, 4.9, "second")
    row(axes, 1, 5.5, second)
    arrow(axes, (3.4, 2.1), (7.6, 3.7))
    arrow(axes, (4.4, 6), (7.6, 4.6))
    label(axes, 10.5, 2.6, "concatenated")
    row(axes, 8, 3.6, joined)
    row(axes, 8, 4.6, joined)
    label(axes, 10.5, 6.3, "at 2 positions", "#555", 9)
    arrow(axes, (13.3, 4.6), (17.6, 4.6))
    label(axes, 23, 2.6, "flattened")
    row(axes, 18, 4.1, flat)
    label(axes, 23, 6, "two rows of the Dense kernel belong to label 3", "#555", 9)
    return figure


def badges() -> dict[str, str]:
    """README's licence and versions, as small pictures by file name: from pyproject.toml, so they are true."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()
    (keras,) = (need.removeprefix("keras>=") for need in project["dependencies"] if need.startswith("keras>="))
    texts = {
        "licence": project["license"],
        "python": f"3.{low} to 3.{int(high) - 1}",
        "keras": f"{keras} or later",
    }
    names = {"licence": "Licence", "python": "Python", "keras": "Keras"}
    return {f"badge-{key}.svg": badge(names[key], text) for key, text in texts.items()}


def badge(name: str, text: str) -> str:
    """A flat label of two colours, as SVG."""
    left, right = (6.6 * len(part) + 14 for part in (name, text))
    style = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" fill="white" text-anchor="middle"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right:.0f}" height="20" role="img" '
        f'aria-label="{name}: {text}">'
        f'<rect width="{left + right:.1f}" height="20" rx="3" fill="#555"/>'
        f'<path d="M{left:.1f} 0h{right - 3:.1f}a3 3 0 0 1 3 3v14a3 3 0 0 1 -3 3h-{right - 3:.1f}z" fill="{BLUE}"/>'
        f'<g {style}><text x="{left / 2:.1f}" y="14">{name}</text>'
        f'<text x="{left + right / 2:.1f}" y="14">{text}</text></g></svg>\n'
    )


def main() -> None:
    # Text as text, and the same file each time.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "keras_prune", "font.family": "sans-serif"})
    IMAGES.mkdir(exist_ok=True)
    for name, picture in badges().items():
        (IMAGES / name).write_text(picture, encoding="utf-8")
    for draw in (overview, masks, step, schedules, chain, groups, movement):
        draw().savefig(IMAGES / f"{draw.__name__}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
