"""The whole way of a newcomer on the command line: from a trained model to C source for a microcontroller."""

import re

import keras
import numpy as np
import pytest
from keras import layers
from support import cli_files
from support.zoo import BACKEND

import keras_prune as kp
import tflite_export

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="files are made on TensorFlow")
SHAPE, CLASSES = (12, 8, 1), 4


def ds_cnn():
    """A keyword spotter in small: depthwise separable convolutions on a spectrogram."""
    model = keras.Sequential([keras.Input(SHAPE, name="spectrogram")], name="ds_cnn")
    model.add(layers.Conv2D(16, (4, 3), strides=2, padding="same", use_bias=False, name="stem"))
    for block in (1, 2):
        model.add(layers.BatchNormalization(name=f"norm{block}"))
        model.add(layers.ReLU(name=f"relu{block}"))
        model.add(layers.DepthwiseConv2D(3, padding="same", name=f"depthwise{block}"))
        model.add(layers.Conv2D(16, 1, activation="relu", name=f"pointwise{block}"))
    model.add(layers.GlobalAveragePooling2D(name="pool"))
    model.add(layers.Dense(CLASSES, activation="softmax", name="scores"))
    return model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, 80)
    x = rng.normal(0, 0.3, (80, *SHAPE)).astype("float32")
    x[np.arange(80), 2 * y] += 1.5  # a line of the spectrogram tells the class
    np.savez(tmp_path / "data.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    model = ds_cnn()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:60], y[:60], epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_a_model_to_c_source(folder, capsys):
    run = cli_files.runner(capsys)

    def done(line):
        code, out, err = run(*line.split())
        assert code == 0, err
        return out

    assert "stem" in done("summary model.keras")
    pruned = done("prune channels model.keras -o small.keras --ratio 0.5 --round-to 4")
    assert "Wrote small.keras" in pruned
    small = keras.saving.load_model("small.keras")
    assert small.count_params() < kp.summary(keras.saving.load_model("model.keras")).parameters
    exported = done(
        "export small.keras -o small.tflite --quantize int8 --representative-data data.npz "
        "--input-type int8 --output-type int8 --data data.npz"
    )
    assert "accuracy" in exported
    inspected = done("inspect small.tflite")
    assert "DEPTHWISE_CONV_2D" in inspected
    assert re.search(r"input +\S+: int8", inspected)
    assert "problem" not in done("micro small.tflite --data data.npz --resolver resolver.h").replace("no problem", "")
    assert "resolver.AddDepthwiseConv2D()" in (folder / "resolver.h").read_text()
    assert done("micro small.tflite --resolver -") == (folder / "resolver.h").read_text()
    assert "Wrote model_data.h" in done("c-array small.tflite -o model_data.cc")
    numbers = re.findall(r"0x([0-9a-f]{2}),", (folder / "model_data.cc").read_text())
    assert bytes.fromhex("".join(numbers)) == (folder / "small.tflite").read_bytes()
    with np.load("data.npz") as data:
        found = tflite_export.predict("small.tflite", data["x_test"])
        expected = small.predict(data["x_test"], verbose=0)
    assert np.abs(found - expected).max() < 0.1


def test_what_a_microcontroller_cannot_run_is_code_1_and_no_code_is_written(tmp_path, monkeypatch, capsys):
    run = cli_files.runner(capsys)
    monkeypatch.chdir(tmp_path)
    keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.Activation("gelu")]).save("gelu.keras")
    assert run("export", "gelu.keras", "-o", "gelu.tflite", "--no-verify")[0] == 0
    code, out, err = run("micro", "gelu.tflite", "--resolver", "resolver.h")
    assert (code, err) == (1, "")
    assert "it lacks the operators" in out
    assert "Did not write resolver.h" in out
    assert not (tmp_path / "resolver.h").exists()
    code, out, _ = run("micro", "gelu.tflite", "--resolver", "resolver.h", "--json")
    found = cli_files.strict_json(out)
    assert (code, found["ok"], found["written"]) == (1, False, [])
    assert found["report"]["problems"]
    code, out, _ = run("micro", "gelu.tflite", "--resolver", "-")
    assert (code, "problem" in out) == (1, True)


def test_inputs_of_a_file_by_name(tmp_path, monkeypatch, capsys):
    run = cli_files.runner(capsys)
    monkeypatch.chdir(tmp_path)
    cli_files.two_in_two_out().save("two.keras")
    assert run("export", "two.keras", "-o", "two.tflite")[0] == 0
    ports = tflite_export.inspect("two.tflite").inputs
    x = {f"x_{port.name}": np.ones((5, port.shape[1]), "float32") for port in ports}
    np.savez("data.npz", **x)
    other = {key: array[: 5 - index] for index, (key, array) in enumerate(x.items())}
    np.savez("other.npz", **other)
    np.savez("half.npz", **{key: x[key] for key in list(x)[:1]})
    assert run("micro", "two.tflite", "--data", "data.npz", "--samples", "3")[0] == 0
    assert run("benchmark", "two.tflite", "--runs=3", "--data", "data.npz")[0] == 0
    code, _, err = run("micro", "two.tflite", "--data", "other.npz", "--samples", "3")
    assert (code, "the same number of samples. Received: [5, 4]" in err) == (2, True)
    code, _, err = run("micro", "two.tflite", "--data", "half.npz")
    assert code == 2
    assert "The data need the key 'x_test_" in err
