"""Writes the tables of importance criteria where they are read: `python tools/criteria.py [--check]`.

They are made from `keras_prune.importance.CRITERIA`: the tables in the docstrings of `PruningSchedule` and
`ChannelImportance` and on the page docs/guides/importance-criteria.md, and the names in the docstring of
`prune_channels`. With `--check` nothing is written: what differs is printed, and the status is 1.
"""

import difflib
import pathlib
import re
import sys
import textwrap
from collections.abc import Callable

from keras_prune.importance.registry import CRITERIA, Of, names

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = "docs/guides/importance-criteria.md"
WIDTH = 120
_HEADINGS = {
    "weights": ("`importance`", "score of a weight `w` with inputs `x`"),
    "channels": ("`score`", "score of a channel `y`, made by weights `m`, read by weights `r`"),
}
_NEEDS = {"movement": "`wrap_pruning(movement=True)`"}


def table(what: Of) -> list[str]:
    """The table of the criteria for weights, or for channels, as lines of Markdown."""
    name, score = _HEADINGS[what]
    rows = [(name, "needs", score, "comparable", "source")]
    for name in names(what):
        criterion = CRITERIA[name]
        formula = criterion.of_weights if what == "weights" else criterion.of_channels
        comparable = "yes" if criterion.compares_layers(what) else ""
        rows.append((f'`"{name}"`', _NEEDS.get(criterion.needs, criterion.needs), formula, comparable, criterion.paper))
    lines = ["|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def listing(what: Of, indent: str) -> list[str]:
    """The names of the criteria by what they need, as lines of a docstring."""
    lines = []
    for needs, title in (("", "Of the weights alone"), ("data", "With data"), ("data, loss", "With data and a loss")):
        named = ", ".join(f'`"{name}"`' for name in names(what) if CRITERIA[name].needs == needs)
        lines += textwrap.wrap(f"{title}: {named}.", WIDTH, initial_indent=indent, subsequent_indent=indent)
    return lines


def with_table(text: str, what: Of) -> str:
    """A text with its table of these criteria, which it has once, made again."""
    start = rf"^( *)\| {_HEADINGS[what][0]} \| needs \|.*\n(?: *\|.*\n)+"
    return _replaced(text, start, lambda indent: table(what))


def with_listing(text: str, what: Of) -> str:
    """A docstring with its list of names, the end of an argument's text, made again."""
    start = r"^( *)Of the weights alone: .*\n(?:\1\S.*\n)*"
    return _replaced(text, start, lambda indent: [line[len(indent) :] for line in listing(what, indent)])


def _replaced(text: str, pattern: str, lines: Callable[[str], list[str]]) -> str:
    """The text with other lines, which may depend on the indent, in place of the one match of a pattern."""
    found = re.findall(pattern, text, re.M)
    if len(found) != 1:
        raise ValueError(f"There must be one passage of criteria. Received: {len(found)} for {pattern!r}")
    made = "".join(f"{found[0]}{line}".rstrip() + "\n" for line in lines(found[0]))
    return re.sub(pattern, lambda match: made, text, flags=re.M)


PLACES: tuple[tuple[str, Callable[[str, Of], str], Of], ...] = (
    ("keras_prune/callbacks/pruning_schedule.py", with_table, "weights"),
    ("keras_prune/channels/scores.py", with_table, "channels"),
    ("keras_prune/channels/prune.py", with_listing, "channels"),
    (PAGE, with_table, "weights"),
    (PAGE, with_table, "channels"),
)


def main(arguments: list[str]) -> int:
    status = 0
    for name, function, what in PLACES:
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = function(before, what)
        if after == before:
            continue
        if "--check" in arguments:
            status = 1
            sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, name))
        else:
            path.write_text(after, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
