"""Cells that run in a real kernel, as in Jupyter: a process of its own, whose output is no terminal."""

import os
import pathlib

import pytest

nbclient = pytest.importorskip("nbclient", reason="the extra `test`")
nbformat = pytest.importorskip("nbformat", reason="the extra `test`")
pytest.importorskip("ipykernel", reason="the extra `test`")

TESTS = pathlib.Path(__file__).resolve().parents[1]


def run_cells(cells, folder, timeout=300):
    """The outputs of each cell of code, all run in one fresh kernel in that folder. A cell that fails raises.

    Args:
        cells: Texts of code, or the cells of a notebook.
        folder: Where the kernel works.
        timeout: Seconds for a cell.
    """
    cells = [each if isinstance(each, str) else "".join(each["source"]) for each in cells]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    paths = [str(TESTS.parent), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": str(folder)}
    environment.pop("MPLBACKEND", None)  # the kernel has its own
    environment.pop("COLUMNS", None)
    client = nbclient.NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return [cell.outputs for cell in notebook.cells]


def printed(outputs):
    """What a cell printed."""
    return "".join(each.text for each in outputs if each.output_type == "stream" and each.name == "stdout")


def shown(outputs, kind):
    """What a cell shows of this type (MIME), one for each output that has it."""
    return [each.data[kind] for each in outputs if "data" in each and kind in each.data]
