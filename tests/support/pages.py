"""Markdown pages and docstrings as programs: their code runs, and prints what the page says it prints."""

import contextlib
import dataclasses
import io
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.S | re.M)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of Python, or of `sh`: then the calls of `keras-prune` in it. One that says `skip` behind its
    language needs what the reader has, and is not run.

    Args:
        code: The Python.
        line: The lines before it.
        prints: What the block of `output` right after it says it prints; None: nothing is said.
    """

    code: str
    line: int
    prints: str | None = None


def blocks(text: str) -> list[Block]:
    """The blocks of a text that can be run, in order."""
    found: list[Block] = []
    ready = False  # whether the block before can be run, and has no output yet
    for fence in _FENCE.finditer(text):
        language, options, content = fence.groups()
        if language == "output":
            assert ready, f"output without code before it: {content}"
            found[-1] = dataclasses.replace(found[-1], prints=content)
        ready = language in ("python", "sh") and not options
        if ready:
            code = content if language == "python" else _calls(content)
            found.append(Block(code, text.count("\n", 0, fence.start()) + 1))
    return found


def _calls(script: str) -> str:
    """The calls of `keras-prune` in a shell script, as Python."""
    words = [shlex.split(line) for line in script.replace("\\\n", " ").splitlines()]
    calls = [f"assert main({line[1:]}) == 0" for line in words if line[:1] == ["keras-prune"]]
    return "\n".join(["from keras_prune.cli import main", *calls])


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
