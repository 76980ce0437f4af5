"""Markdown pages and docstrings as programs: their Python blocks run, and print what the page says they print."""

import contextlib
import dataclasses
import io
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.S | re.M)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of Python. One that says `skip` behind `python` needs what the reader has, and is not run.

    Args:
        code: The Python.
        line: The lines before it.
        prints: What the block of `output` right after it says it prints; None: nothing is said.
    """

    code: str
    line: int
    prints: str | None = None


def blocks(text: str) -> list[Block]:
    """The Python blocks of a text, in order, but for those to skip."""
    found: list[Block] = []
    ready = False  # whether the block before was Python, and has no output yet
    for fence in _FENCE.finditer(text):
        language, options, content = fence.groups()
        if language == "output":
            assert ready, f"output without a Python block before it: {content}"
            found[-1] = dataclasses.replace(found[-1], prints=content)
        ready = language == "python" and not options
        if ready:
            found.append(Block(content, text.count("\n", 0, fence.start()) + 1))
    return found


def run_page(path: pathlib.Path, names: dict | None = None, edit=lambda code: code) -> dict:
    """Runs the blocks of a page one after the other, in one namespace.

    Args:
        path: The page.
        names: What the page takes for granted.
        edit: Makes a block quicker: it gets its code and returns what is run.

    Returns:
        The namespace.
    """
    names = {} if names is None else names
    for block in blocks(path.read_text()):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # The empty lines before it let a traceback name the line of the page.
            exec(compile("\n" * block.line + edit(block.code), str(path), "exec"), names)
        if block.prints is not None:
            assert _lines(printed.getvalue()) == _lines(block.prints), f"{path.name}, line {block.line}"
    return names


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]
