"""Makes the notebooks in examples/ from pages of docs/: `python tools/notebook.py`. Their Python blocks are the cells.

The first cell installs the package from the folder, archive or wheel that the notebook stands in: it is on no index.
"""

import json
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Pages, from docs/; notebooks, from examples/.
NOTEBOOKS = {"tutorial.md": "mnist_cnn.ipynb", "guides/transfer-learning.md": "transfer_learning.ipynb"}
FENCE = re.compile(r"^```python\n(.*?)^```$", re.S | re.M)
SKIPPED = re.compile(r"^```python skip$", re.M)
LINK = re.compile(r"\[([^\]]+)\]\(([^):#]+\.md)(#[^)]*)?\)")
INSTALL_TEXT = """
## Install

`keras_prune` is installed from its repository: from the folder that this notebook is in, or from an archive (`.zip`,
`.tar.gz`) or wheel of it beside the notebook. In Colab, upload that file first: the folder symbol on the left. What is
installed already is left as it is.
"""
INSTALL = """
import importlib.util
import pathlib
import subprocess
import sys

if any(importlib.util.find_spec(name) is None for name in ("keras_prune", "ai_edge_litert", "matplotlib")):
    here = pathlib.Path.cwd()
    sources = [folder for folder in (here, *here.parents) if (folder / "keras_prune" / "__init__.py").is_file()]
    for ending in ("whl", "zip", "tar.gz"):
        sources += sorted(here.glob(f"keras?prune*.{ending}"))
    if not sources:
        raise FileNotFoundError(
            "Put the repository of keras_prune, an archive or a wheel of it into this folder "
            f"(keras_prune*.zip, .tar.gz or .whl). Received: '{here}' without one"
        )
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", f"{sources[0]}[tflite,plots]"], check=True)
    importlib.invalidate_caches()
"""


def notebook(text: str, page: str) -> str:
    """The notebook of a page, without outputs, in the format of nbformat 4.5.

    Args:
        text: The page.
        page: Its path, from docs/.
    """

    def from_examples(found: re.Match[str]) -> str:
        """Links of the page start at its folder, those of the notebook at the examples."""
        return f"[{found[1]}](../docs/{posixpath.normpath(posixpath.join(posixpath.dirname(page), found[2]))})"

    text = SKIPPED.sub("```py", LINK.sub(from_examples, text))  # what is not run is no cell
    head, first, *rest = FENCE.split(text)
    title, *section = re.split(r"^(?=## )", head, flags=re.M)
    parts = [title.strip("\n") + "\n\n" + INSTALL_TEXT.strip("\n"), INSTALL.strip("\n"), "".join(section), first, *rest]
    cells = []
    for index, part in enumerate(parts):
        source = part.strip("\n").splitlines(keepends=True)
        cell = {"cell_type": "markdown", "id": f"cell-{index}", "metadata": {}, "source": source}
        if index % 2:
            cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
        if source:
            cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def made() -> dict[Path, str]:
    """The notebooks as they should be, by their files."""
    return {
        ROOT / "examples" / name: notebook((ROOT / "docs" / page).read_text(encoding="utf-8"), page)
        for page, name in NOTEBOOKS.items()
    }


if __name__ == "__main__":
    for file, text in made().items():
        file.write_text(text, encoding="utf-8")
