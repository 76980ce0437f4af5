"""Names beside points, and numbers on an axis, that do not lie on each other."""

import math
from collections.abc import Sequence
from typing import Any

from keras_prune.plots.style import plain_text

_FAR = 12  # lines of text between a point and its name, at most


def name_points(ax: Any, names: Sequence[str], points: Sequence[tuple[float, float]]) -> None:
    """Write a name beside each point, where no other name is: near it, or further away with a line to it.

    Args:
        ax: Axes of matplotlib, on which all else is drawn already.
        names: Of the points.
        points: Where they are, in data coordinates.
    """
    ax.figure.draw_without_rendering()  # from here on, the axes remain where they are
    renderer = ax.figure._get_renderer()  # matplotlib's public ones belong to some canvases only
    taken: list[Any] = []
    whole = ax.figure.bbox
    for name, point in zip(names, points, strict=True):
        text = ax.annotate(
            plain_text(name),
            point,
            xytext=(4, -9),
            textcoords="offset points",
            fontsize="x-small",
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
        )
        text.set_in_layout(False)
        for x, y, side in _offsets():
            text.set_position((x, y))
            text.set_horizontalalignment(side)
            text.update_positions(renderer)
            box = _box(text)
            inside = box.x0 >= whole.x0 and box.x1 <= whole.x1 and box.y0 >= whole.y0 and box.y1 <= whole.y1
            if inside and not any(box.overlaps(other) for other in taken):
                break
        text.arrow_patch.set_visible(math.hypot(x, y) > 12)
        taken.append(_box(text))


def few_numbers(axis: Any, values: Sequence[float]) -> None:
    """Number a logarithmic axis at the lowest and highest value too, where no power of ten lies between them."""
    known = [value for value in values if 0 < value < math.inf]
    if known and math.ceil(math.log10(min(known))) > math.floor(math.log10(max(known))):
        from matplotlib.ticker import FixedFormatter, FixedLocator  # here, since only plots need it

        ends = sorted({min(known), max(known)})
        if len(ends) > 1 and ends[1] < 1.6 * ends[0]:  # too near for two
            ends = ends[1:]
        axis.set_major_locator(FixedLocator(ends))
        axis.set_major_formatter(
            FixedFormatter([f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}" for value in ends])
        )


def _offsets() -> list[tuple[float, float, str]]:
    """Where a name may be, in points from its point, the nearest first."""
    return [
        (x, y, side)
        for line in range(1, _FAR)
        for y in (-9 * line, 9 * line - 5)
        for x, side in ((4 + 6 * (line - 1), "left"), (-4 - 6 * (line - 1), "right"))
    ]


def _box(text: Any) -> Any:
    """The box of the letters, without the line to the point."""
    from matplotlib.text import Text

    return Text.get_window_extent(text)
