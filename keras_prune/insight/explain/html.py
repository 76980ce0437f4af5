"""Explanation as one page of HTML that needs nothing else: no file, no network, no script."""

from collections.abc import Callable, Sequence
from functools import singledispatch
from html import escape
from typing import Any

from keras_prune.insight.explain.channels import ExplainedGroup
from keras_prune.insight.explain.figures import figure
from keras_prune.insight.explain.parts import Kind, Part
from keras_prune.insight.explain.ranking import score_text
from keras_prune.insight.explain.weights import ExplainedWeight
from keras_prune.plots import plot_mask, plot_ranks, plot_scores
from keras_prune.plots.style import bars_size, check_matplotlib
from keras_prune.reporting.progress import track
from tflite_export.reporting import Table
from tflite_export.reporting.page import laid_out

_OPEN = 6  # of so many parts the details are unfolded
_LEADS = {
    "weights": "Each weight has a score, and the lowest are removed. The threshold is the score from which on all were "
    "kept; the overlap counts the weights that were removed though they are not among as many lowest scores of their "
    "array.",
    "channels": "Each channel has a score, and of those that can be removed the lowest are removed. Channels that "
    "layers share are removed together, as a group. The overlap counts those that were removed though they are not "
    "among as many lowest scores.",
    "layers": "Each layer, or branch beside a shortcut, that can be left out has a score, and the lowest are removed.",
}


def page(
    title: str, kind: Kind, facts: Sequence[tuple[str, str]], parts: Sequence[Part], plot: Callable[[Any], Any]
) -> str:
    """Return the page of an explanation.

    Args:
        title: Of the page.
        kind: What was removed.
        facts: What is true of the whole model.
        parts: What was removed of each part of the model.
        plot: Draws the whole model on the axes that it is given.

    Raises:
        ImportError: There is no matplotlib.
    """
    check_matplotlib()
    sections = [_section(part, len(parts) <= _OPEN) for part in track(parts, len(parts), "Plots")]
    return laid_out(
        title,
        _LEADS[kind],
        facts,
        ["<h2>Layer by layer</h2>", _overview(title, kind, parts, plot), _table(parts), _details(sections)],
        "Made by keras_prune. This page needs no other file and no network.",
    )


def _table(parts: Sequence[Part]) -> str:
    """The table of all parts."""
    if not parts:
        return "<p>The model has nothing of this kind that can be removed.</p>"
    return f'<div class="card">{Table(parts[0].HEADINGS, [part.cells() for part in parts]).html()}</div>'


def _details(sections: Sequence[str]) -> str:
    """The sections of the parts that have one."""
    found = "\n".join(section for section in sections if section)
    return f"<h2>In detail</h2>\n{found}" if found else ""


def _overview(title: str, kind: Kind, parts: Sequence[Any], plot: Callable[[Any], Any]) -> str:
    """A plot of the whole model; empty if nothing has a score."""
    scored = [part for part in parts if kind != "layers" or part.score is not None]
    if not scored:
        return ""
    return f'<div class="card">{figure(plot, (11.0, bars_size(len(scored))[1]), title)}</div>'


@singledispatch
def _section(part: Part, unfold: bool) -> str:
    """What there is to show of one part alone; empty if nothing."""
    return ""


@_section.register
def _of_weight(part: ExplainedWeight, unfold: bool) -> str:
    """The scores and the mask of a weight array."""
    if not part.cut.removed:
        return ""
    scores, pruned = part.scores[part.alive], part.pruned[part.alive]
    plots = [
        figure(
            lambda ax: plot_scores(scores, pruned, ax, threshold=part.cut.threshold, title="Scores"),
            (5.8, 3.6),
            f"Histogram of the scores of {part.name}",
        ),
        figure(lambda ax: plot_mask(part.kept, ax, axes=part.axes), (5.0, 3.6), f"Mask of {part.name}"),
    ]
    return _fold(part, f"{part.share:.1%} removed: {part.reason}", f'<div class="plots">{"".join(plots)}</div>', unfold)


@_section.register
def _of_group(part: ExplainedGroup, unfold: bool) -> str:
    """The scores of the channels of a group, and a table of all channels."""
    if part.scores is None:
        return ""
    free = part.ranks != 0
    scores, pruned = part.scores[free], part.pruned[free]
    plot = figure(
        lambda ax: plot_ranks(scores, pruned, ax, title="Scores by rank", unit=part.unit),
        (8.0, 3.2),
        f"Scores of the {part.unit} of {part.group}, lowest first",
    )
    rows = [
        (
            str(row["channel"]),
            "-" if row["rank"] is None else str(row["rank"]),
            score_text(row["score"]),
            "removed" if row["removed"] else "kept",
            row["reason"],
        )
        for row in sorted(part.records(), key=lambda row: row["rank"] or len(part.reasons) + 1)
    ]
    listed = Table(("Position", "Rank", "Score", "State", "Why"), rows).html()
    every = f"<details><summary>All {part.before} {part.unit}</summary><div>{listed}</div></details>"
    layers = ", ".join(part.producers)
    text = f"{part.cut.removed} of {part.before} {part.unit} removed: {part.reason}"
    return _fold(part, text, f"<p>Outputs of {escape(layers)}.</p>{plot}{every}", unfold)


def _fold(part: Part, text: str, content: str, unfold: bool) -> str:
    """A section that can be folded."""
    heading = f"<summary>{escape(part.name)} <span>{escape(text)}</span></summary>"
    return f"<details{' open' if unfold else ''}>{heading}<div>{content}</div></details>"
