"""A Markdown extension for the pages: a fence of `python skip` is Python that the tests do not run.

Such a block needs what only the reader has. Markdown itself would not know the language.
"""

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor


def translate(lines: list[str]) -> list[str]:
    """Return the lines of a page in plain Markdown."""
    return [line.replace("```python skip", "```python") for line in lines]


class Dialect(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return translate(lines)


class DialectExtension(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(Dialect(md), "dialect", 100)  # first of all


def makeExtension(**options: object) -> DialectExtension:
    return DialectExtension(**options)
