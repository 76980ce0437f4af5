"""The notebooks in examples/ run from the first cell to the last, each in a fresh kernel, on few images."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest
from support import kernels
from support.pages import ROOT
from support.zoo import BACKEND

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough, and the export needs TensorFlow")
EXAMPLES = ROOT / "examples"
SMOKE = """
import keras
import tflite_export
from support.example_runs import digits
from support.exports import first_only

keras.datasets.mnist.load_data = lambda: (digits(128, 1), digits(40, 2))
tflite_export.export = first_only(tflite_export.export)
"""
MNIST = """
import json
print(json.dumps({
    "sparsity": kp.summary(stripped).prunable_sparsity, "rising": sparsity,
    "filters": [layer.filters for layer in small.layers if hasattr(layer, "filters")],
    "rows": [row.name for row in comparison.rows],
}))
"""
TRANSFER = """
import json
print(json.dumps({
    "sparsity": kp.summary(stripped).prunable_sparsity, "accuracy": report.accuracy, "keras": report.keras_accuracy,
    "parameters": [model.count_params(), small.count_params()],
    "rows": [row.name for row in comparison.rows],
    "masked": [layer.name for layer in kp.summary(kp.wrap_pruning(model, "places")).masked],
}))
"""


def cells(name):
    notebook = json.loads((EXAMPLES / name).read_text())
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(name, folder, before, after):
    """What the last of these cells printed, and the outputs of all; without a kernel a program runs them."""
    code = [before, *("".join(cell["source"]) for cell in cells(name)), after]
    if kernels.THERE:
        outputs = kernels.run_cells(code, folder)
        return json.loads(kernels.printed(outputs[-1])), outputs
    program = folder / "cells.py"
    program.write_text("\n".join(code))
    environment = {**kernels.environment(folder), "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, program.name], cwd=folder, env=environment, capture_output=True, check=True)
    program.unlink()
    return json.loads(done.stdout.splitlines()[-1]), []


def made(folder):
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def check_outputs(outputs):
    """What would be saved with the notebook: little, without codes for a terminal, and each plot once."""
    assert len(json.dumps(outputs)) < 300_000
    for each in (each for cell in outputs for each in cell):
        if each.output_type == "stream" and each.name == "stdout":
            assert re.search("[\x1b\b]", each.text) is None
    assert all(len(kernels.shown(cell, "image/png")) <= 1 for cell in outputs)


def test_the_tutorial_runs_as_a_notebook(tmp_path):
    found, outputs = run("mnist_cnn.ipynb", tmp_path, SMOKE, MNIST)
    files = {"dense.tflite", "pruned.tflite", "pruned_int8.tflite", "small_int8.tflite", "pruned_int8.html", "why.html"}
    assert made(tmp_path) == files
    assert found["sparsity"] == pytest.approx(0.9, abs=0.01)
    assert found["rising"] == sorted(found["rising"])
    assert found["filters"] == [16, 32]
    assert found["rows"] == ["dense", "pruned", "small"]
    if outputs:
        check_outputs(outputs)
        assert sum(len(kernels.shown(cell, "image/png")) for cell in outputs) == 1
        assert "Channels of &#x27;mnist_cnn&#x27;" not in str(outputs)  # printed, not shown
        assert "Models" in kernels.shown(outputs[-2], "text/html")[0]


def test_a_newcomer_prunes_a_model_of_transfer_learning(tmp_path):
    """Base frozen, head trained, base unfrozen, masks, channels, explanation, files: to the end."""
    found, outputs = run("transfer_learning.ipynb", tmp_path, "", TRANSFER)
    assert made(tmp_path) == {"dense.tflite", "small.tflite", "small.html", "why.html"}
    assert found["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert found["accuracy"] == pytest.approx(found["keras"], abs=0.01)
    assert found["accuracy"] > 0.9
    assert found["parameters"][1] < 0.3 * found["parameters"][0]
    assert found["rows"] == ["dense", "zeros", "small", "small.tflite"]
    assert found["masked"] == ["places"]
    if outputs:
        check_outputs(outputs)
        pages = [page for cell in outputs for page in kernels.shown(cell, "text/html")]
        assert len(pages) == 5  # the last lines of five cells
        lines = [line for cell in outputs for line in kernels.shown(cell, "text/plain")]
        assert all(len(line.splitlines()) == 1 for line in lines)


# The first cell.


def install(folder, monkeypatch, missing):
    """The arguments that pip got."""
    calls, find = [], importlib.util.find_spec
    monkeypatch.chdir(folder)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append(command))
    exec("".join(cells("mnist_cnn.ipynb")[0]["source"]), {})
    return calls


def test_what_is_installed_is_left_alone(tmp_path, monkeypatch):
    assert install(tmp_path, monkeypatch, ()) == []


@pytest.mark.parametrize("missing", ["keras_prune", "ai_edge_litert"])
def test_it_installs_the_repository_that_it_is_in(tmp_path, monkeypatch, missing):
    (tmp_path / "keras_prune").mkdir()
    (tmp_path / "keras_prune" / "__init__.py").touch()
    folder = tmp_path / "examples"
    folder.mkdir()
    (command,) = install(folder, monkeypatch, missing)
    assert command == [sys.executable, "-m", "pip", "install", "--quiet", f"{tmp_path}[tflite,plots]"]


@pytest.mark.parametrize(
    "name", ["keras_prune-main.zip", "keras-prune-0.1.0.tar.gz", "keras_prune-0.1.0-py3-none-any.whl"]
)
def test_it_installs_an_archive_beside_it(tmp_path, monkeypatch, name):
    (tmp_path / name).touch()
    (command,) = install(tmp_path, monkeypatch, ["keras_prune"])
    assert command[-1] == f"{tmp_path / name}[tflite,plots]"


def test_it_says_what_to_put_there(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"an archive or a wheel of it .* Received: '.*' without one"):
        install(tmp_path, monkeypatch, ["keras_prune"])


# The files.


def tool():
    spec = importlib.util.spec_from_file_location("tools_notebook", ROOT / "tools" / "notebook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("file", "text"), tool().made().items(), ids=lambda value: getattr(value, "name", ""))
def test_a_notebook_has_the_cells_of_its_page(file, text):
    assert file.read_text(encoding="utf-8") == text, "run `python tools/notebook.py`"
    notebook = json.loads(text)
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


def test_every_notebook_has_a_page():
    assert set(EXAMPLES.glob("*.ipynb")) == set(tool().made())


@pytest.mark.parametrize("name", [file.name for file in tool().made()])
def test_links_of_a_notebook_lead_somewhere(name):
    notebook = json.loads((EXAMPLES / name).read_text())
    text = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)\s:]+)\)", text):
        assert (EXAMPLES / target).is_file(), target
