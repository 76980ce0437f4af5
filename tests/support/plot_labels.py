"""Where the labels of a plot are, as matplotlib draws them."""

import itertools

from matplotlib.text import Text


def boxes(ax):
    """The box of each text of a figure, in pixels, by what it says and its number."""
    figure = ax.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    ticks = [*ax.xaxis.get_ticklabels(which="both"), *ax.yaxis.get_ticklabels(which="both")]
    legend = [] if ax.get_legend() is None else ax.get_legend().get_texts()
    texts = [*ticks, *legend, *ax.texts, ax.xaxis.label, ax.yaxis.label, ax._left_title, ax.title, ax._right_title]
    shown = [text for text in texts if isinstance(text, Text) and text.get_visible() and text.get_text().strip()]
    drawn = [(text.get_text(), Text.get_window_extent(text, renderer)) for text in shown]  # without lines to points
    return [(text, box) for text, box in drawn if _is_on_axis(text, box, ax, ticks, renderer)]


def _is_on_axis(text, box, ax, ticks, renderer):
    """Matplotlib keeps labels of ticks that are outside of the axes and does not draw them."""
    if all(text != tick.get_text() for tick in ticks):
        return True
    area = ax.get_window_extent(renderer)
    middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    return area.x0 - 1 <= middle[0] <= area.x1 + 1 or area.y0 - 1 <= middle[1] <= area.y1 + 1


def overlaps(ax):
    """The pairs of texts that lie on each other, and the texts that are not wholly in the figure."""
    found = boxes(ax)
    pairs = [
        (one, other)
        for (one, first), (other, second) in itertools.combinations(found, 2)
        if first.x0 < second.x1 - 1
        and second.x0 < first.x1 - 1
        and first.y0 < second.y1 - 1
        and second.y0 < first.y1 - 1
    ]
    whole = ax.figure.bbox
    cut = [
        text
        for text, box in found
        if box.x0 < whole.x0 - 1 or box.x1 > whole.x1 + 1 or box.y0 < whole.y0 - 1 or box.y1 > whole.y1 + 1
    ]
    return pairs, cut
