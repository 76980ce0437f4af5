"""Finds words that this project does not use: `python tools/check_words.py [FILE ...]`; the list is words.txt.

Readers search for the terms of the field. All text counts: pages, docstrings, comments, messages.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PLACES = (
    "*.md",
    "docs/**/*.md",
    *(f"{folder}/**/*.py" for folder in ("keras_prune", "tflite_export", "examples", "benchmarks", "tools")),
)


def word_list() -> list[tuple[re.Pattern[str], str]]:
    """The expressions and what to write instead."""
    lines = (ROOT / "tools" / "words.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.rsplit(" -> ", 1) for line in lines if line and not line.startswith("#"))
    # A line may end within an expression.
    return [(re.compile(expression.replace(" ", r"\s+"), re.I), advice) for expression, advice in pairs]


def findings(text: str) -> list[tuple[int, str, str]]:
    """Line, words and advice of each place."""
    found = []
    for expression, advice in word_list():
        for match in expression.finditer(text):
            found.append((text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), advice))
    return sorted(found)


def main(arguments: list[str]) -> int:
    files = [pathlib.Path(name) for name in arguments] or sorted({p for place in PLACES for p in ROOT.glob(place)})
    count = 0
    for file in files:
        for line, words, advice in findings(file.read_text(encoding="utf-8")):
            print(f"{file}:{line}: '{words}': write: {advice}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
