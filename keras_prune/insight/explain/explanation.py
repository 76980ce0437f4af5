"""`Explanation`: what was removed and why, as a table, as data and as a page."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from keras_prune.insight.explain.html import page
from keras_prune.insight.explain.parts import Kind, Part
from keras_prune.plots.explanation import plot_explanation
from keras_prune.storage import check_target, write_text
from tflite_export.reporting import Report, Table


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation(Report):
    """What was removed of a model, and why: what `explain` returns. Its `str` is a table.

    Args:
        model: Name of the original model.
        kind: What was removed: `"weights"`, `"channels"` or `"layers"`.
        importance: Name of the importance criterion of the scores; empty if there are none.
        parts: For each weight array an `ExplainedWeight`, for each channel group an `ExplainedGroup`, or for each
            candidate an `ExplainedLayer`, in the order of the model.
        facts: Names and values of what is true of the whole model.
    """

    model: str
    kind: Kind
    importance: str
    parts: tuple[Part, ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """What the table and the page are headed."""
        return f"{self.kind.capitalize()} removed from '{self.model}'"

    def to_html(self) -> str:
        """Return a page with tables and plots that needs no other file, no network and no script.

        Raises:
            ImportError: There is no matplotlib.
        """
        return page(self.title, self.kind, self.facts, self.parts, self.plot)

    def save_html(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write that page to a file.

        Args:
            path: Where to: it ends in ".html".
            overwrite: Whether an existing file may be replaced. Defaults to False.

        Raises:
            ValueError: Another ending, a folder that does not exist, or a file that does.
            ImportError: There is no matplotlib.
        """
        target = check_target(path, ".html", overwrite)
        write_text(target, self.to_html(), overwrite=overwrite)

    def plot(self, ax: Any = None) -> Any:
        """Draw what was removed of the whole model: see `keras_prune.plots.plot_explanation`."""
        return plot_explanation(self, ax)

    def _tables(self) -> Sequence[Table]:
        headings = self.parts[0].HEADINGS if self.parts else None
        return [Table(headings, [part.cells() for part in self.parts], self.title), Table(None, self.facts)]

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        """A record for each weight array, channel or layer."""
        return [record for part in self.parts for record in part.records()]

    def _facts(self) -> Mapping[str, Any]:
        return {"model": self.model, "kind": self.kind, "importance": self.importance, "facts": self.facts}
