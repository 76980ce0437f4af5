"""Plots as images inside a page."""

import base64
import html
import io
from collections.abc import Callable
from typing import Any


def figure(draw: Callable[[Any], Any], size: tuple[float, float], alt: str) -> str:
    """Return an `<img>` that holds its own data.

    The drawing is an SVG file inside of it, not a part of the page: so no name in it can become a part of the page, and
    the ids of several drawings do not meet.

    Args:
        draw: Draws on the axes that it is given.
        size: Of the figure, in inches.
        alt: What it shows, in words.

    Raises:
        ImportError: There is no matplotlib.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # not of pyplot: no window, and nothing that stays open

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "keras_prune", "font.size": 9.5}):
        canvas = Figure(figsize=size, layout="constrained")
        draw(canvas.subplots())
        content = io.BytesIO()
        canvas.savefig(content, format="svg", metadata={"Date": None})
    data = base64.b64encode(content.getvalue()).decode()
    width, height = (round(96 * inches) for inches in size)
    source = f"data:image/svg+xml;base64,{data}"
    return f'<img src="{source}" alt="{html.escape(alt, quote=True)}" width="{width}" height="{height}">'
