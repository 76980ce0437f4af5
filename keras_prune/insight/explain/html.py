"""An explanation as one page of HTML that needs nothing else: no file, no network, no script."""

from functools import partial, singledispatch
from html import escape
from typing import Any

import numpy as np

from keras_prune.insight.explain.channels import ExplainedGroup
from keras_prune.insight.explain.figures import figure
from keras_prune.insight.explain.parts import Findings, Part
from keras_prune.insight.explain.ranking import score_text
from keras_prune.insight.explain.weights import ExplainedWeight
from keras_prune.plots import plot_channels, plot_mask, plot_ranks, plot_scores
from keras_prune.plots.bars import share_bars
from keras_prune.plots.style import REMOVED, bars_size, check_matplotlib, tidy
from keras_prune.reporting.progress import track
from keras_prune.reporting.tables import html_table

# Nothing may be loaded or run, whatever a name holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_OPEN = 6  # of so many parts the details are unfolded
_STYLE = """
:root { --ink: #1d2733; --soft: #5b6875; --line: #dde3e8; --paper: #ffffff; --tint: #f5f7f9; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--tint); color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 36px 0 12px; }
p { margin: 0 0 12px; color: var(--soft); max-width: 75ch; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 12px; margin: 20px 0 0; }
dl div { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.card, details { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; }
.card { padding: 14px; margin-bottom: 12px; overflow-x: auto; }
details { margin: 0 0 10px; }
details details { margin: 8px 0 0; }
summary { cursor: pointer; padding: 10px 14px; font-weight: 600; overflow-wrap: anywhere; }
summary span { color: var(--soft); font-weight: 400; }
details > div { padding: 0 14px 14px; overflow-x: auto; }
.plots { display: flex; flex-wrap: wrap; gap: 12px; }
img { max-width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: 6px 10px; vertical-align: top; overflow-wrap: break-word; }
th.number, td.number { text-align: right; white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--tint); }
td:first-child { font-weight: 600; min-width: 9em; }
footer { margin-top: 40px; color: var(--soft); font-size: 13px; }
"""
_LEADS = {
    "weights": "Each weight has a score, and the lowest go. The threshold is the score from which on all stayed; the "
    "overlap counts the weights that went though they are not among as many lowest scores of their array.",
    "channels": "Each channel has a score, and of those that may go the lowest go first. Channels that layers share go "
    "together, as a group. The overlap counts those that went though they are not among as many lowest.",
    "layers": "Each layer, or branch beside a shortcut, that can be left out has a score, and the lowest go first.",
}


def page(explanation: Findings) -> str:
    """The page.

    Args:
        explanation: What it shows.

    Raises:
        ImportError: There is no matplotlib.
    """
    check_matplotlib()
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in explanation.facts)
    parts = explanation.parts
    sections = [_section(part, len(parts) <= _OPEN) for part in track(parts, len(parts), "Plots")]
    title = escape(explanation.title)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{escape(_LEADS[explanation.kind])}</p>
<dl>{facts}</dl>
<h2>Layer by layer</h2>
{_overview(explanation)}
{_table(parts)}
{_details(sections)}
<footer>Made by keras_prune. This page needs no other file and no network.</footer>
</main>
</body>
</html>
"""


def _table(parts: tuple[Part, ...]) -> str:
    if not parts:
        return "<p>The model has nothing of this kind that could go.</p>"
    return f'<div class="card">{html_table(parts[0].HEADINGS, [part.cells() for part in parts])}</div>'


def _details(sections: list[str]) -> str:
    found = "\n".join(section for section in sections if section)
    return f"<h2>In detail</h2>\n{found}" if found else ""


def _overview(explanation: Findings) -> str:
    """A plot of the whole model."""
    parts: Any = explanation.parts
    draw = {"weights": _draw_weights, "channels": _draw_channels, "layers": _draw_layers}[explanation.kind]
    scored = [part for part in parts if explanation.kind != "layers" or part.score is not None]
    if not scored:
        return ""
    size = 11.0, bars_size(len(scored))[1]
    return f'<div class="card">{figure(partial(draw, explanation), size, explanation.title)}</div>'


def _draw_weights(explanation: Findings, ax: Any) -> None:
    parts: Any = explanation.parts
    total = sum(part.cut.removed for part in parts) / sum(part.gone.size for part in parts)
    share_bars(ax, [part.name for part in parts], [part.share for part in parts], [REMOVED] * len(parts), total)
    tidy(ax, "Share that went of each weight array", "weights that went, %")


def _draw_channels(explanation: Findings, ax: Any) -> None:
    plot_channels(explanation, ax)


def _draw_layers(explanation: Findings, ax: Any) -> None:
    every: Any = explanation.parts
    parts = [part for part in every if part.score is not None]
    scores, gone = np.array([part.score for part in parts]), np.array([part.removed for part in parts])
    plot_ranks(scores, gone, ax, names=[part.name for part in parts], title=f"Scores ({explanation.importance})")


@singledispatch
def _section(part: Part, unfold: bool) -> str:
    """What there is to show of one part alone; empty if nothing."""
    return ""


@_section.register
def _of_weight(part: ExplainedWeight, unfold: bool) -> str:
    if not part.cut.removed:
        return ""
    scores, gone = part.scores[part.alive], part.gone[part.alive]
    plots = [
        figure(
            lambda ax: plot_scores(scores, gone, ax, threshold=part.cut.threshold, title="Scores"),
            (5.8, 3.6),
            f"Histogram of the scores of {part.name}",
        ),
        figure(lambda ax: plot_mask(part.kept, ax, axes=part.axes), (5.0, 3.6), f"Mask of {part.name}"),
    ]
    return _fold(part, f"{part.share:.1%} went: {part.reason}", f'<div class="plots">{"".join(plots)}</div>', unfold)


@_section.register
def _of_group(part: ExplainedGroup, unfold: bool) -> str:
    if part.scores is None:
        return ""
    free = part.ranks != 0
    scores, gone = part.scores[free], part.gone[free]
    plot = figure(
        lambda ax: plot_ranks(scores, gone, ax, title="Scores by rank", unit=part.unit),
        (8.0, 3.2),
        f"Scores of the {part.unit} of {part.group}, lowest first",
    )
    rows = [
        (
            str(row["channel"]),
            "-" if row["rank"] is None else str(row["rank"]),
            score_text(row["score"]),
            "went" if row["removed"] else "stays",
            row["reason"],
        )
        for row in sorted(part.records(), key=lambda row: row["rank"] or len(part.reasons) + 1)
    ]
    listed = html_table(("Position", "Rank", "Score", "State", "Why"), rows)
    every = f"<details><summary>All {part.before} {part.unit}</summary><div>{listed}</div></details>"
    made = ", ".join(part.producers)
    text = f"{part.cut.removed} of {part.before} {part.unit} went: {part.reason}"
    return _fold(part, text, f"<p>Made by {escape(made)}.</p>{plot}{every}", unfold)


def _fold(part: Part, text: str, content: str, unfold: bool) -> str:
    heading = f"<summary>{escape(part.name)} <span>{escape(text)}</span></summary>"
    return f"<details{' open' if unfold else ''}>{heading}<div>{content}</div></details>"
