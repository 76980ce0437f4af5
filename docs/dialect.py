"""A Markdown extension: what the pages say that Markdown does not know.

- `<!-- README from "first words" to "words after it" -->` stands for a passage of the README, the first words included:
  so figures stand in one place only.
- A fence of `python skip` is Python that the tests do not run, since it needs what only the reader has.
"""

import re
from pathlib import Path

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

README = Path(__file__).resolve().parents[1] / "README.md"
LINE = re.compile(r'^<!-- README from "(.+)" to "(.+)" -->$')


def passage(first: str, after: str) -> str:
    """What the README says from `first` on, up to `after`, with links as seen from docs/.

    Raises:
        ValueError: The README does not hold `first` once and `after` somewhere behind it.
    """
    text = README.read_text(encoding="utf-8")
    start, end = text.find(first), text.find(after, text.find(first))
    if text.count(first) != 1 or end < 0:
        raise ValueError(
            f"README.md must hold the first text once, the second after it. Received: {first!r}, {after!r}"
        )
    return text[start:end].strip().replace("](docs/", "](")


def translate(lines: list[str]) -> list[str]:
    """The lines of a page in plain Markdown."""
    result: list[str] = []
    for line in lines:
        found = LINE.match(line)
        result += passage(*found.groups()).splitlines() if found else [line.replace("```python skip", "```python")]
    return result


class Dialect(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return translate(lines)


class DialectExtension(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(Dialect(md), "dialect", 100)  # first of all


def makeExtension(**options: object) -> DialectExtension:
    return DialectExtension(**options)
