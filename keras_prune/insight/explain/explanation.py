"""`Explanation`: what went and why, as a table, as data and as a page."""

import dataclasses
import os
from typing import Any

from keras_prune.insight.explain.html import page
from keras_prune.insight.explain.parts import Findings
from keras_prune.reporting.tables import table
from keras_prune.storage import check_target, write_text


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation(Findings):
    """What was pruned of a model, and why: what `explain` returns. Its `str` is a table.

    Args:
        model: Name of the model before.
        kind: What went: `"weights"`, `"channels"` or `"layers"`.
        importance: Name of the criterion of the scores; empty if there are none.
        parts: For each weight array an `ExplainedWeight`, for each channel group an `ExplainedGroup`, or for each
            candidate an `ExplainedLayer`, in the order of the model.
        facts: What is to be said of the whole model: names and values.
    """

    def __str__(self) -> str:
        lines = [f"{name}: {value}" for name, value in self.facts]
        if not self.parts:
            return "\n".join([self.title, *lines])
        text = table(self.title, self.parts[0].HEADINGS, [part.cells() for part in self.parts])
        return "\n".join([text, *lines])

    def records(self) -> list[dict[str, Any]]:
        """The same as data, for `pandas.DataFrame` say: a record for each weight array, channel or layer."""
        return [record for part in self.parts for record in part.records()]

    def to_html(self) -> str:
        """A page with tables and plots that needs no other file, no network and no script.

        Raises:
            ImportError: There is no matplotlib.
        """
        return page(self)

    def save_html(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Writes that page.

        Args:
            path: Where to: it ends in ".html".
            overwrite: Whether a file that is there may be replaced.

        Raises:
            ValueError: Another ending, a folder that does not exist, or a file that does.
            ImportError: There is no matplotlib.
        """
        target = check_target(path, ".html", overwrite)
        write_text(target, self.to_html())
