"""Horizontal bars, named: what every report can draw of itself."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

# Okabe and Ito's colours (2008), which people with any kind of colour vision tell apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00")


@dataclasses.dataclass(frozen=True)
class Bars:
    """Values of several things, side by side.

    Args:
        title: What is shown.
        unit: Below the axis: what the values are, and their unit.
        names: Of the things, the first at the top.
        series: By name, for the legend, a value for each thing; None where it is unknown. At most four series.
    """

    title: str
    unit: str
    names: Sequence[str]
    series: Mapping[str, Sequence[float | None]]

    def draw(self, ax: Any = None) -> Any:
        """Draws them on these axes of matplotlib, or on new ones; returns the axes.

        Raises:
            ImportError: There is no matplotlib.
        """
        if ax is None:
            try:
                import matplotlib.pyplot as plt
            except ImportError as error:
                raise ImportError("Plots need matplotlib: pip install matplotlib. Received: no such package") from error
            size = 7.0, 1.2 + max(len(self.names), 2) * (0.3 if len(self.names) <= 20 else 0.2)
            ax = plt.subplots(figsize=size, layout="constrained")[1]
        height = 0.8 / max(len(self.series), 1)
        for index, (label, values) in enumerate(self.series.items()):
            places = [place - 0.4 + (index + 0.5) * height for place in range(len(self.names))]
            known = [0.0 if value is None else value for value in values]
            ax.barh(places, known, height, color=_COLOURS[index % len(_COLOURS)], label=_plain(label))
        letters = "small" if len(self.names) <= 20 else "x-small"
        ax.set_yticks(range(len(self.names)), [_plain(_short(name)) for name in self.names], fontsize=letters)
        ax.set_ylim(max(len(self.names), 1) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        if len(self.series) > 1:
            ax.legend(ncols=len(self.series), fontsize="small", frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
        ax.set_title(_plain(self.title), fontsize="medium", loc="left", pad=22 if len(self.series) > 1 else 6)
        ax.set_xlabel(_plain(self.unit))
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="x", color="#dddddd", linewidth=0.8)
        ax.set_axisbelow(True)
        return ax


def _plain(text: str) -> str:
    """A name as it is: matplotlib would take what stands between two dollar signs for mathematics."""
    return text.replace("$", r"\$")


def _short(name: str, limit: int = 36) -> str:
    return name if len(name) <= limit else f"{name[: limit // 2 - 1]}…{name[-limit // 2 :]}"
