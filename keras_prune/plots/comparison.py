"""What each model has of the first one's quality, size, work and time: bars side by side."""

from typing import Any

from keras_prune.plots.style import axes_or_new, look

_SIZES = "parameters non_zeros macs effective_macs compressed_bytes latency_ms"


def plot_models(comparison: Any, ax: Any = None) -> Any:
    """Draws the ratios of a `ModelComparison` to its first row. What is not known of a model has no bar.

    Args:
        comparison: What `compare` returned.
        ax: The axes, or None for new ones.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
    """
    ax = axes_or_new(ax)
    rows = comparison.rows
    scores = dict.fromkeys(name for row in rows for name in row.scores)
    names = [name for name in (*scores, *_SIZES.split()) if any(comparison.ratio(row, name) for row in rows)]
    width = 0.8 / len(rows)
    for index, row in enumerate(rows):
        known = [(place, comparison.ratio(row, name)) for place, name in enumerate(names)]
        bars = [(place + (index - (len(rows) - 1) / 2) * width, ratio) for place, ratio in known if ratio is not None]
        ax.bar(
            [place for place, _ in bars],
            [ratio for _, ratio in bars],
            width,
            label=row.name,
            color=look(index)["color"],
        )
    ax.axhline(1, color="#000000", linewidth=0.8)
    ax.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
    ax.set_ylabel(f"ratio to '{rows[0].name}'")
    ax.legend()
    return ax
