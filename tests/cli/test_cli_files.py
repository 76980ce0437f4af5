"""Files that are not what they should be: an error of one line, exit code 2, and nothing in them is run."""

import json
import pathlib
import pickle
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from support import cli_files
from support.zoo import BACKEND

from keras_prune.cli import main
from keras_prune.cli.data import load_data
from keras_prune.cli.errors import BadInput
from keras_prune.cli.models import find_objects, load_model

pytestmark = pytest.mark.core


class Pickled:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return open, ("pickle_was_run", "w")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refused(capsys):
    """Runs a command line that must be refused; returns the line."""

    def command(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert (code, out) == (2, ""), err
        assert err.count("\n") == 1
        assert err.startswith("keras-prune: error: ")
        assert "Received: " in err
        return err

    return command


@pytest.mark.parametrize(("version", "told"), [("99.1.0", True), (keras.__version__, False), (None, False)])
def test_a_file_of_a_newer_keras_is_named(refused, version, told):
    keras.Sequential([keras.Input((2,)), layers.Dense(1)]).save("old.keras")
    with zipfile.ZipFile("old.keras") as old, zipfile.ZipFile("model.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = content.replace(b'"class_name": "Dense"', b'"class_name": "OfAnotherTime"')
            elif name == "metadata.json":
                content = json.dumps({"keras_version": version}).encode()
            new.writestr(name, content)
    message = refused("summary", "model.keras")
    assert "OfAnotherTime" in message
    assert (f"needs Keras 99.1.0, which wrote it: this is Keras {keras.__version__}." in message) == told


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_code_in_a_model_is_run_only_with_unsafe(refused, capsys, name):
    model = keras.Sequential([keras.Input((2,)), layers.Lambda(lambda x: open("was_run", "w") and x), layers.Dense(1)])  # noqa: SIM115
    model.save(name)
    pathlib.Path("was_run").unlink()
    assert "pass --unsafe if you trust" in refused("summary", name)
    assert not pathlib.Path("was_run").exists()
    assert main(["summary", name, "--unsafe"]) == 0
    assert pathlib.Path("was_run").exists()
    assert "Dense" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".npz"])
@pytest.mark.parametrize("content", [b"", b"noise", bytes(range(256)) * 40], ids=["empty", "text", "bytes"])
def test_random_bytes(refused, suffix, content):
    path = f"file{suffix}"
    with open(path, "wb") as file:
        file.write(content)
    if suffix == ".npz":
        cli_files.cnn().save("model.keras")
        refused("prune", "weights", "model.keras", "-o", "out.keras", "--sparsity=0.5", "--data", path)
        assert not pathlib.Path("out.keras").exists()
    else:
        refused("summary", path)


def test_damaged_models(refused):
    cli_files.cnn().save("model.keras")
    content = pathlib.Path("model.keras").read_bytes()
    for place in (len(content) // 3, len(content) - 30):
        with open("cut.keras", "wb") as file:
            file.write(content[:place])
        refused("summary", "cut.keras")
    with zipfile.ZipFile("other.keras", "w") as archive:
        archive.writestr("readme.txt", "no model")
    assert "no config.json" in refused("summary", "other.keras")
    for config in (
        "{",
        "[]",
        '{"class_name": "Model"}',
        json.dumps({"module": "os", "class_name": "system", "config": {}}),
    ):
        with zipfile.ZipFile("other.keras", "w") as archive:
            archive.writestr("config.json", config)
            archive.writestr("metadata.json", json.dumps({"keras_version": keras.__version__}))
        refused("summary", "other.keras")


def test_files_that_hold_something_else(refused):
    cli_files.cnn().save_weights("model.weights.h5")
    assert "holds no model" in refused("summary", "model.weights.h5")
    with h5py.File("data.h5", "w") as file:
        file["x"] = np.zeros(3)
    assert "holds no model" in refused("summary", "data.h5")
    assert "There is no such file" in refused("summary", "missing.keras")
    assert "There is no such file" in refused("summary", ".")
    assert "`inspect`, `benchmark` and `compare` read .tflite" in refused("summary", __file__)


def test_h5_files_of_keras_3_and_keras_2():
    model = cli_files.cnn()
    model.save("three.h5")
    model.save("two.h5")
    with h5py.File("two.h5", "r+") as file:  # the only thing that tells, as the configuration has no Keras 2 in it
        file.attrs["keras_version"] = "2.15.0"
    assert load_model("three.h5", compile=True).compiled
    assert not load_model("two.h5", compile=True).compiled  # `load_legacy` does not
    for name in ("three.h5", "two.h5"):
        for mine, theirs in zip(load_model(name).get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


MODULE = """
import keras

class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def bend(x):
    return keras.ops.relu(x) + 1
"""


def test_custom_objects(refused, capsys):
    with open("own_layers.py", "w") as file:
        file.write(MODULE)
    objects = find_objects(["own_layers"])
    assert set(objects) == {"Twice", "bend"}
    assert set(find_objects(["own_layers:bend"])) == {"bend"}
    saved = {"class 'Twice'": objects["Twice"](), "function 'bend'": layers.Dense(2, activation=objects["bend"])}
    for what, layer in saved.items():
        keras.Sequential([keras.Input((2,)), layer]).save("model.keras")
        assert f"has a custom {what}: name its module" in refused("summary", "model.keras")
        assert main(["summary", "model.keras", "--custom-objects", "own_layers"]) == 0
        capsys.readouterr()
    assert "has no Keras classes" in refused("summary", "model.keras", "--custom-objects", "math")
    assert "has no Keras classes" in refused("summary", "model.keras", "--custom-objects", "own_layers:missing")
    assert "ModuleNotFoundError" in refused("summary", "model.keras", "--custom-objects", "no_such_module")


def test_pickles_in_data_are_never_loaded(refused):
    cli_files.cnn().save("model.keras")
    words = ("prune", "weights", "model.keras", "-o", "out.keras", "--sparsity=0.5", "--importance=wanda", "--data")
    np.savez("objects.npz", x=np.array([Pickled()], object))
    assert "pickled objects, which are never loaded" in refused(*words, "objects.npz")
    with open("pickle.npz", "wb") as file:
        pickle.dump(Pickled(), file)
    assert "must be a .npz file" in refused(*words, "pickle.npz")
    assert not pathlib.Path("pickle_was_run").exists()
    assert not pathlib.Path("out.keras").exists()


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"data": np.zeros((3, 6, 6, 1))}, "need the key 'x_train' or 'x' or 'x_test'; --x-key names another one"),
        ({"x": np.zeros((3, 6, 6))}, "shape (samples, 6, 6, 1)"),
        ({"x": np.zeros((3, 6, 6, 2))}, "shape (samples, 6, 6, 1)"),
        ({"x": np.zeros((0, 6, 6, 1))}, "at least one sample"),
        ({"x": np.array(["a"])}, "must hold numbers"),
        ({"x": np.zeros((3, 6, 6, 1)), "y": np.zeros(2)}, "as many samples. Received: 'data.npz' with [3, 2]"),
    ],
)
def test_data_that_do_not_fit(refused, arrays, why):
    cli_files.cnn().save("model.keras")
    np.savez("data.npz", **arrays)
    words = ("prune", "weights", "model.keras", "-o", "out.keras", "--sparsity=0.5", "--importance=wanda")
    assert why in refused(*words, "--data=data.npz")


def test_the_keys_of_data():
    model = cli_files.cnn()
    cli_files.write_data(pathlib.Path())
    train, test = load_data("train.npz", model), load_data("train.npz", model, split="test")
    (x_train, y_train), (x_test, y_test) = cli_files.images(64, 1), cli_files.images(32, 2)
    for found, expected in (
        (train, (x_train, y_train)),
        (test, (x_test, y_test)),
        (load_data("test.npz", model), (x_test, y_test)),
    ):
        np.testing.assert_array_equal(found.x, expected[0])
        np.testing.assert_array_equal(found.y, expected[1])
    chosen = load_data("train.npz", model, x_key="x_test", y_key="y_test")
    np.testing.assert_array_equal(chosen.y, y_test)
    few = load_data("train.npz", model, samples=5)
    places = [int(np.flatnonzero((x_train == row).all(axis=(1, 2, 3)))[0]) for row in few.x]
    assert len(set(places)) == 5
    np.testing.assert_array_equal(few.y, y_train[places])
    np.savez("bare.npz", x=x_train)
    assert load_data("bare.npz", model).y is None
    with pytest.raises(BadInput, match="'y_train' or 'y' or 'y_test'"):
        load_data("bare.npz", model, targets=True)
    with pytest.raises(BadInput, match="need the key 'labels'"):
        load_data("bare.npz", model, y_key="labels")
    np.save("single.npy", x_train)
    with pytest.raises(BadInput, match="not a single array"):
        load_data("single.npy", model)


def test_data_for_several_inputs_and_outputs():
    model = cli_files.two_in_two_out()
    arrays = {"a": np.ones((4, 3)), "b": np.zeros((4, 2)), "p": np.ones((4, 2)), "q": np.zeros((4, 1))}
    named = {f"{'x' if name in 'ab' else 'y'}_train_{name}": value for name, value in arrays.items()}
    np.savez("data.npz", **named)
    found = load_data("data.npz", model, samples=2)
    assert {name: value.shape for name, value in found.x.items()} == {"a": (2, 3), "b": (2, 2)}
    assert {name: value.shape for name, value in found.y.items()} == {"p": (2, 2), "q": (2, 1)}
    model.compile("sgd", "mse")
    model.test_on_batch(found.x, found.y)
    del named["x_train_b"]
    np.savez("data.npz", **named)
    with pytest.raises(BadInput, match="'x_train_a' and 'x_train_b' or "):
        load_data("data.npz", model)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")
@pytest.mark.parametrize("command", ["inspect", "benchmark"])
def test_files_that_are_no_tflite_files(refused, command):
    with open("noise.tflite", "wb") as file:
        file.write(bytes(range(256)) * 10)
    refused(command, "noise.tflite")
    refused(command, "missing.tflite")
    cli_files.cnn().save("model.keras")
    refused(command, "model.keras")


def test_a_damaged_plan(refused):
    cli_files.cnn().save("model.keras")
    with open("plan.json", "w") as file:
        file.write("{}")
    for kind in ("channels", "layers"):
        assert "holds no" in refused("prune", kind, "model.keras", "-o", "out.keras", "--plan=plan.json")
