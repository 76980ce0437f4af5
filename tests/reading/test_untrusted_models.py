"""Model files lead into no other file, and take no more memory than they have."""

import functools
import json
import os
import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest
from support import untrusted_files as files
from support.legacy_files import dense, layer, sequential, write

import keras_prune as kp
from keras_prune.cli import main
from keras_prune.cli.models import load_model
from keras_prune.reading.model_files import load_keras_file

pytestmark = [pytest.mark.core, pytest.mark.timeout(120)]  # a pipe that is opened waits for ever

TEXT = {"standardize": "lower", "split": "whitespace", "ngrams": None, "output_mode": "int"}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(path, capsys):
    """The message with which all that reads models refuses a file, which it does not change."""
    content = path.read_bytes()
    loaders = [kp.load_legacy] if path.suffix == ".h5" else []
    for load in (*loaders, functools.partial(load_model, compile=True)):
        with pytest.raises(ValueError, match="Received: ") as found:
            load(str(path))
    assert main(["summary", str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert path.read_bytes() == content
    return f"{found.value} {err}"


@pytest.mark.parametrize("kind", files.KINDS)
@pytest.mark.parametrize("way", files.WAYS)
def test_no_way_into_another_file(way, kind, tmp_path, capsys):
    other = tmp_path / "precious.h5"
    files.small().save(other)
    before = other.read_bytes(), os.stat(other).st_mtime_ns
    path = files.model_file(tmp_path, kind)
    files.change_weights(path, lambda file, group: way(file, group, other))
    message = refused(path, capsys)
    assert "never followed" in message or "never opened" in message or "under two names" in message
    assert (other.read_bytes(), os.stat(other).st_mtime_ns) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("kind", files.KINDS)
@pytest.mark.parametrize("way", [files.external_group, files.external_layer, files.external_array])
def test_no_waiting_for_a_pipe(way, kind, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    path = files.model_file(tmp_path, kind)
    files.change_weights(path, lambda file, group: way(file, group, tmp_path / "pipe"))
    refused(path, capsys)


@pytest.mark.parametrize("kind", files.KINDS)
@pytest.mark.parametrize(
    ("class_name", "config", "why"),
    [
        ("StringLookup", {"vocabulary": "PLACE"}, "takes its vocabulary from another file"),
        ("IntegerLookup", {"vocabulary": "PLACE"}, "takes its vocabulary from another file"),
        ("TextVectorization", TEXT | {"vocabulary": "PLACE"}, "takes its vocabulary from another file"),
        ("TFSMLayer", {"filepath": "PLACE"}, "runs a TensorFlow SavedModel in another folder"),
        (
            "TorchModuleWrapper",
            {"module": {"class_name": "__bytes__", "config": {"value": ""}}},
            "a pickled PyTorch module",
        ),
    ],
)
def test_no_layer_reads_another_file(class_name, config, why, kind, tmp_path, capsys):
    place = tmp_path / "secret"
    if hasattr(os, "mkfifo"):
        os.mkfifo(place)
    else:
        place.write_text("one\ntwo\none\n")
    config = {key: str(place) if value == "PLACE" else value for key, value in config.items()}
    path = files.model_file(tmp_path, kind)
    files.add_layer(path, class_name, **config)
    message = refused(path, capsys)
    assert why in message or (kind, class_name) == ("keras 3 .h5", "TorchModuleWrapper")  # which Keras never wrote
    assert "Python code (a Lambda" not in message


def test_what_a_model_is_compiled_with_reads_no_file_either(tmp_path):
    (tmp_path / "secret.txt").write_text("password=hunter2\npassword=hunter2\n")
    lookup = {
        "module": "keras.layers",
        "class_name": "StringLookup",
        "config": {"vocabulary": str(tmp_path / "secret.txt")},
        "registered_name": None,
    }
    path = files.model_file(tmp_path, ".keras")
    files.change_config(path, lambda config: config["compile_config"].update(metrics=[lookup]))
    with pytest.raises(ValueError, match="from another file"):
        load_model(str(path), compile=True)
    path = files.model_file(tmp_path, "keras 3 .h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["training_config"])
        file.attrs["training_config"] = json.dumps(config | {"metrics": [lookup], "loss": lookup})
    with pytest.raises(ValueError, match=r"cannot be loaded|another file") as found:
        load_model(str(path), compile=True)
    assert "hunter2" not in str(found.value)


@pytest.mark.parametrize("kind", files.KINDS)
@pytest.mark.parametrize("way", files.MEMORY)
def test_arrays_take_no_more_memory_than_they_have(way, kind, tmp_path, capsys):
    path = files.model_file(tmp_path, kind)
    files.change_weights(path, way)
    assert path.stat().st_size < 3_000_000
    message = refused(path, capsys)
    assert "of memory, and its file allows" in message or "where it is compressed" in message


@pytest.mark.parametrize("kind", files.KINDS)
def test_layers_take_no_more_memory_than_the_file_has(kind, tmp_path, capsys):
    path = files.model_file(tmp_path, kind)

    def widen(config):
        found = config["config"]["layers"][-1]["config"]
        found.get("layer", {"config": found})["config"]["units"] = 10**10

    files.change_config(path, widen)
    assert "the model would take 280,000,000,000 bytes of memory" in refused(path, capsys)


def test_what_was_compressed_by_hand_can_still_be_read(tmp_path):
    path = files.model_file(tmp_path, "legacy")
    expected = kp.load_legacy(path).get_weights()
    again = tmp_path / "again.h5"
    with h5py.File(path) as old, h5py.File(again, "w") as new:
        for name, value in old.attrs.items():
            new.attrs[name] = value

        def copy(name, found):
            if isinstance(found, h5py.Dataset):
                options = {"compression": "gzip", "shuffle": True} if found.ndim else {}
                new.create_dataset(name, data=found[()], **options)
            else:
                new.require_group(name).attrs.update(found.attrs)

        old.visititems(copy)
        new["labels"] = ["one", "two"]
    for mine, theirs in zip(kp.load_legacy(again).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    packed = files.model_file(tmp_path, ".keras")
    weights = load_keras_file(packed).get_weights()
    files.change_members(packed, {}, zipfile.ZIP_DEFLATED)
    for mine, theirs in zip(load_keras_file(packed).get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_names_of_arrays_are_listed_once(tmp_path, capsys):
    path = files.model_file(tmp_path, "legacy")
    with h5py.File(path, "r+") as file:
        file["model_weights/prune_low_magnitude_one"].attrs["weight_names"] = [b"one/kernel:0"] * 50
    assert "each once" in refused(path, capsys)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("damage", ["twice", "outside", "bzip2", "zeros", "config"])
def test_archives_that_are_none_of_keras(damage, tmp_path, capsys):
    path = files.model_file(tmp_path, ".keras")
    if damage == "bzip2":
        files.change_members(path, {}, zipfile.ZIP_BZIP2)
    elif damage == "config":
        files.change_members(path, {"config.json": "[" * 100_000})
    else:
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            if damage == "twice":
                archive.writestr("config.json", "{}")
            elif damage == "outside":
                archive.writestr("../../evil.txt", "")
            else:
                archive.writestr("zeros", bytes(300_000_000))
    why = {
        "twice": "two members of the same name",
        "outside": "must not name files outside itself",
        "bzip2": "compressed in a way",
        "zeros": "of memory, and its file allows",
        "config": "nested too deeply",
    }
    assert why[damage] in refused(path, capsys)


def test_random_names_and_numbers_are_as_after_a_load_of_keras(tmp_path):
    path = files.model_file(tmp_path, ".keras")
    found = []
    for load in (load_keras_file, lambda path: keras.saving.load_model(path, compile=False)):
        keras.utils.clear_session()
        keras.utils.set_random_seed(3)
        load(path)
        after = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
        found.append((after.name, [layer.name for layer in after.layers], after.get_weights()[0]))
    assert found[0][:2] == found[1][:2]
    np.testing.assert_array_equal(found[0][2], found[1][2])


def test_a_legacy_file_is_not_written(tmp_path):
    path = write(
        tmp_path / "model.h5",
        sequential(layer("Dense", "one", units=2, batch_input_shape=[None, 3])),
        {"one": dense("one", 3, 2)},
    )
    path.chmod(0o400)
    before = os.stat(path).st_mtime_ns
    kp.load_legacy(path)
    assert os.stat(path).st_mtime_ns == before
    assert [each.name for each in pathlib.Path().iterdir()] == ["model.h5"]
