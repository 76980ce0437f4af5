"""What was found, and what was done, as tables."""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_prune.channels.groups import ChannelAnalysis


@dataclasses.dataclass(frozen=True)
class GroupReport:
    """What became of one channel group.

    Args:
        name: Its name, as in the analysis.
        before: Number of channels.
        after: Number of channels left.
        frozen: Why none could go; empty if some could.
        inexact: Why the values of the channels that stay change; empty if they do not.
    """

    name: str
    before: int
    after: int
    frozen: str
    inexact: str


@dataclasses.dataclass(frozen=True)
class ChannelReport:
    """What `prune_channels` did. Its `str` is a table.

    Args:
        model: Name of the model.
        ratio: The fraction of channels that was asked for; None if a plan was replayed.
        groups: What became of each group.
        parameters_before: Parameters of the original model.
        parameters_after: Parameters of the smaller one.
        unknown: Operations that no rule covers, by path, and the reason.
    """

    model: str
    ratio: float | None
    groups: tuple[GroupReport, ...]
    parameters_before: int
    parameters_after: int
    unknown: Mapping[str, str]

    @property
    def frozen(self) -> dict[str, str]:
        """The groups of which nothing could go, and the reason."""
        return {group.name: group.frozen for group in self.groups if group.frozen}

    @property
    def inexact(self) -> dict[str, str]:
        """The groups that lost channels and whose other channels compute something else now, and the reason."""
        return {group.name: group.inexact for group in self.groups if group.inexact and group.after < group.before}

    def __str__(self) -> str:
        rows = [
            (group.name, str(group.before), str(group.after), group.frozen or group.inexact) for group in self.groups
        ]
        text = _table(f"Channels of '{self.model}'", ("Group", "Before", "After", "Note"), rows)
        fraction = self.parameters_after / max(self.parameters_before, 1)
        text += f"\nParameters: {self.parameters_before:,} -> {self.parameters_after:,} ({fraction:.1%} left)"
        return text + _unknown(self.unknown)


def analysis_table(analysis: "ChannelAnalysis") -> str:
    """The table of a `ChannelAnalysis`."""
    rows = []
    for group in analysis.groups:
        members = dict.fromkeys(f"{member.layer}:{member.name}[{member.axis}]" for member in group.members)
        state = f"frozen: {group.frozen}" if group.frozen else "free"
        if not group.frozen and not group.free.all():
            why = next(reason for reason in group.reasons if reason)
            state = f"{int(group.free.sum())} free; others: {why}"
        state += f"; inexact: {group.inexact}" if group.inexact and not group.frozen else ""
        rows.append((group.name, str(group.size), ", ".join(members), state))
    text = _table(f"Channel groups of '{analysis.model}'", ("Group", "Channels", "Weights [axis]", "State"), rows)
    return text + _unknown(analysis.unknown)


def _unknown(unknown: Mapping[str, str]) -> str:
    lines = [f"  {reason}" for reason in unknown.values()]
    return "\n".join(["", "Channels that reach these stay:", *lines]) if lines else ""


def _table(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    from rich import box, console, table  # here, since most programs never print a table

    grid: Any = table.Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for heading in headings:
        number = heading in ("Channels", "Before", "After")
        grid.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    text = io.StringIO()
    console.Console(file=text, width=120, markup=False).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
