"""Horizontal bars of fractions, named: what several plots are made of."""

from collections.abc import Sequence
from typing import Any

from keras_prune.plots.style import letters, name_bars


def share_bars(ax: Any, names: Sequence[str], shares: Sequence[float], colours: Sequence[str], total: float) -> None:
    """Draw a bar for each fraction, and a line for that of all together.

    Args:
        ax: Axes of matplotlib.
        names: Of the bars, the first at the top.
        shares: Fractions, in [0, 1].
        colours: Of the bars.
        total: That of all together.
    """
    ax.barh(range(len(names)), [100 * share for share in shares], color=colours)
    name_bars(ax, names)
    for place, share in enumerate(shares):  # right of all bars, where no line crosses them
        ax.text(109, place, f"{share:.0%}", ha="right", va="center", fontsize=letters(len(names)))
    ax.axvline(100 * total, color="black", linestyle="--", linewidth=1, label=f"all together: {total:.1%}")
    ax.set_xlim(0, 110)
    ax.set_xticks(range(0, 101, 20))
