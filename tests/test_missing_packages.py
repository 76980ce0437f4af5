"""What says which package is missing, and the line that installs it, where one is not installed."""

import sys

import keras
import numpy as np
import pytest
from keras import layers
from support.zoo import mlp

import keras_prune as kp
import tflite_export
from tflite_export.errors import missing, pip_line


@pytest.fixture
def without(monkeypatch):
    """A function after which Python finds no package of these names."""

    def hide(*names):
        for name in names:
            for module in [each for each in sys.modules if each.startswith(f"{name}.")]:
                monkeypatch.delitem(sys.modules, module)
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def small():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, name="hidden"), layers.Dense(2)])


DATA = (np.ones((4, 4), "float32"), np.ones((4, 2), "float32"))
# What is missing, what is done then, and what the message begins with.
ASKED = {
    "a plot": ("matplotlib", lambda model, folder: kp.plots.plot_mask(np.ones((2, 2), bool)), "A plot"),
    "a plot of a report": ("matplotlib", lambda model, folder: kp.summary(model).plot(), "A plot"),
    "a table": ("rich", lambda model, folder: str(kp.summary(model)), "A table"),
    "a search": (
        "optuna",
        lambda model, folder: kp.autoprune(
            model, DATA, DATA, output=folder / "found", metric="loss", max_drop=0.1, search="optuna"
        ),
        'search="optuna"',
    ),
    "a board": ("tensorboard", lambda model, folder: kp.PruningBoard(str(folder)), "PruningBoard"),
    "pictures of a board": ("PIL", lambda model, folder: kp.PruningBoard(str(folder)), "PruningBoard"),
    "LiteRT's files": (
        "ai_edge_litert",
        lambda model, folder: tflite_export.predict(file(folder), np.ones((1, 4), "float32")),
        "tflite_export",
    ),
    "an inspection": ("ai_edge_litert", lambda model, folder: tflite_export.inspect(file(folder)), "tflite_export"),
    "a microcontroller": (
        "ai_edge_litert",
        lambda model, folder: tflite_export.check_micro(file(folder)),
        "tflite_export",
    ),
}


def file(folder):
    path = folder / "model.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    return path


@pytest.mark.parametrize("name", ASKED)
def test_what_is_missing_is_named_with_the_line_that_installs_it(name, without, tmp_path):
    package, ask, begins = ASKED[name]
    if package in ("PIL", "tensorboard"):
        pytest.importorskip(package)
    model = small()
    without(package)
    line = {"PIL": "pillow", "ai_edge_litert": "ai-edge-litert"}.get(package, package)
    with pytest.raises(ImportError) as raised:
        ask(model, tmp_path)
    assert str(raised.value) == f"{begins} needs {line}: pip install {line}. Received: no module named {package!r}"


def test_an_export_without_tensorflow(without, monkeypatch, tmp_path):
    model = small()
    without("ai_edge_litert")
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # Keras may use what it has of it
    message = r"needs tensorflow and ai-edge-litert: pip install tensorflow ai-edge-litert\. Received: no module named"
    with pytest.raises(ImportError, match=message):
        tflite_export.export(model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def test_packages_are_called_as_pip_calls_them():
    assert pip_line("tensorflow", "ai_edge_litert") == "pip install tensorflow ai-edge-litert"
    assert str(missing("quantize='int4'", "litert_quantizer")).startswith(
        "quantize='int4' needs litert-quantizer: pip install litert-quantizer. Received"
    )
    assert "needs tflite-micro: pip install --pre tflite-micro" in str(missing("It", "tflite_micro"))


def test_pandas_and_scipy_are_not_needed(without, tmp_path):
    without("pandas", "scipy", "sklearn")
    model = mlp()
    pruned = kp.prune_weights(model, 0.5)
    report = kp.summary(pruned)
    assert str(report)
    assert report.records()
    assert report.to_html()
    assert str(kp.cost(model))
    keras.Sequential([keras.Input((4,)), layers.Dense(2)]).save(tmp_path / "model.keras")
