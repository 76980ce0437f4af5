"""Writes what the code of pages prints now into their blocks of `output`: `python tools/outputs.py PAGE ...`.

For a change of printed tables: tests/docs/test_guides.py compares pages with what they print, and this mends them. Read
the difference before you commit it. A page that needs a file or names of its own is mended by hand.
"""

import contextlib
import io
import os
import pathlib
import re
import sys
import tempfile

os.environ["COLUMNS"] = "120"  # as in tests/conftest.py
ROOT = pathlib.Path(__file__).resolve().parents[1]
# Absolute, since pages are run in another folder.
sys.path[:] = [str(ROOT), str(ROOT / "tests"), *map(os.path.abspath, sys.path)]

import keras  # noqa: E402
from support.pages import blocks  # noqa: E402

OUTPUT = re.compile(r"^```output\n.*?^```$", re.S | re.M)


def printed(text: str) -> list[str]:
    """Run the blocks of a page in one namespace, and return what those print that say what they print."""
    keras.backend.clear_session()  # as before each test: names of layers count from the start
    keras.utils.set_random_seed(0)
    names: dict[str, object] = {}
    found = []
    for block in blocks(text):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(block.code, names)
        if block.prints is not None:
            lines = [line.rstrip() for line in out.getvalue().strip("\n").splitlines()]
            found.append("\n".join(["```output", *lines, "```"]))
    return found


def main(pages: list[str]) -> None:
    for page in map(pathlib.Path, map(os.path.abspath, pages)):
        text = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            outputs = iter(printed(text))
        page.write_text(OUTPUT.sub(lambda _: next(outputs), text), encoding="utf-8")  # noqa: B023


if __name__ == "__main__":
    main(sys.argv[1:])
