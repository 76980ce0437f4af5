"""Makes examples/mnist_cnn.ipynb from docs/tutorial.md: `python tools/notebook.py`. Its Python blocks are the cells."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
NOTEBOOK = ROOT / "examples" / "mnist_cnn.ipynb"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.S | re.M)
LINK = re.compile(r"\[([^\]]+)\]\(([^):#]+\.md)(#[^)]*)?\)")


def notebook(text: str) -> str:
    """The notebook of a page, without outputs, in the format of nbformat 4.5."""
    # Links of the page start at its folder, those of the notebook at the examples.
    text = LINK.sub(r"[\1](../docs/\2)", text)
    cells = []
    for index, part in enumerate(FENCE.split(text)):
        source = part.strip("\n").splitlines(keepends=True)
        cell = {"cell_type": "markdown", "id": f"cell-{index}", "metadata": {}, "source": source}
        if index % 2:
            cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
        if source:
            cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
