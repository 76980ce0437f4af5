"""A Markdown extension that puts passages of the README into pages, so that figures stand in one place only.

The line `<!-- README from "first words" to "words after it" -->` stands for what is between, the first words included.
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


def insert(lines: list[str]) -> list[str]:
    """The lines of a page, with the passages."""
    result: list[str] = []
    for line in lines:
        found = LINE.match(line)
        result += passage(*found.groups()).splitlines() if found else [line]
    return result


class Passages(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return insert(lines)


class ReadmeExtension(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(Passages(md), "readme", 100)  # first of all


def makeExtension(**options: object) -> ReadmeExtension:
    return ReadmeExtension(**options)
