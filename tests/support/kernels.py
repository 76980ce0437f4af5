"""Cells that run in a real kernel, as in Jupyter: a process of its own, whose output is no terminal."""

import importlib.util
import os
import pathlib

import pytest

THERE = all(importlib.util.find_spec(name) for name in ("nbclient", "nbformat", "ipykernel"))
TESTS = pathlib.Path(__file__).resolve().parents[1]


def run_cells(cells, folder, timeout=300):
    """The outputs of each cell of code, all run in one fresh kernel in that folder. A cell that fails raises.

    Args:
        cells: Texts of code, or the cells of a notebook.
        folder: Where the kernel works.
        timeout: Seconds for a cell.
    """
    if not THERE:
        pytest.skip("no nbclient and ipykernel: the extra `test`")
    import nbclient
    import nbformat

    cells = [each if isinstance(each, str) else "".join(each["source"]) for each in cells]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment(folder))
    return [cell.outputs for cell in notebook.cells]


def environment(folder):
    """Variables of a process that has the packages, and `support`, and is no terminal."""
    paths = [str(TESTS.parent), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": str(folder / ".ipython")}
    for name in ("MPLBACKEND", "COLUMNS"):  # a kernel has its own
        found.pop(name, None)
    return found


def printed(outputs):
    """What a cell printed."""
    return "".join(each.text for each in outputs if each.output_type == "stream" and each.name == "stdout")


def shown(outputs, kind):
    """What a cell shows of this type (MIME), one for each output that has it."""
    return [each.data[kind] for each in outputs if "data" in each and kind in each.data]
