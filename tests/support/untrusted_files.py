"""Model files that try to reach other files, or to take memory that they do not have."""

import json
import os
import shutil
import zipfile

import h5py
import keras
import numpy as np
from keras import layers
from support.legacy_files import dense, layer, sequential, state, wrapped, write

KINDS = ("legacy", "keras 3 .h5", ".keras")


def small():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="one")])
    model.compile("sgd", "mse")
    return model


def model_file(folder, kind):
    """A sound file of this kind."""
    if kind == "legacy":
        name = "prune_low_magnitude_one"
        entry = wrapped(layer("Dense", "one", units=4), batch_input_shape=[None, 6])
        weights = {name: dense("one", 6, 4) | state(name, [np.tril(np.ones((6, 4)))])}
        return write(folder / "legacy.h5", sequential(entry), weights)
    path = folder / ("model.keras" if kind == ".keras" else "three.h5")
    small().save(path)
    return path


def change_weights(path, change):
    """Calls `change(file, group)` with the open HDF5 file of the weights, and the group of the layer in it."""
    target = path
    if path.suffix == ".keras":
        target = path.with_name("model.weights.h5")
        with zipfile.ZipFile(path) as archive:
            target.write_bytes(archive.read("model.weights.h5"))
    with h5py.File(target, "r+") as file:
        place = "layers/dense" if path.suffix == ".keras" else "model_weights"
        change(file, file[place])
    if path.suffix == ".keras":
        change_members(path, {"model.weights.h5": target.read_bytes()})
        target.unlink()


def change_members(path, changes, method=zipfile.ZIP_STORED):
    """Replaces members of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | changes
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def change_config(path, change):
    """Calls `change(config)` with the configuration of the model, which it changes."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        change(config)
        change_members(path, {"config.json": json.dumps(config)})
        return
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)


def add_layer(path, class_name, **config):
    """Puts a layer behind the others of a file's model."""
    entry = {"class_name": class_name, "config": {"name": "evil", **config}}
    if path.suffix == ".keras":
        entry |= {"module": "keras.layers", "registered_name": None}
    change_config(path, lambda found: found["config"]["layers"].append(entry))


# Ways to lead HDF5 into another file: each changes the open file, whose group holds the weights of the layer.
def external_group(file, group, other):
    file["extra"] = h5py.ExternalLink(os.fspath(other), "/")


def external_layer(file, group, other):
    name = next(iter(group))
    del group[name]
    group[name] = h5py.ExternalLink(os.fspath(other), "/model_weights")


def soft_link(file, group, other):
    group["extra"] = h5py.SoftLink("/")


def external_array(file, group, other):
    group.create_dataset("extra", (4,), "u1", external=[(os.fspath(other), 0, 4)])


def virtual_array(file, group, other):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(os.fspath(other), "x", (4,))
    file.create_virtual_dataset("extra", layout)


def hard_link(file, group, other):
    file["extra"] = group


WAYS = (external_group, external_layer, soft_link, external_array, virtual_array, hard_link)


# Ways to take memory.
def fill_values(file, group):
    file.create_dataset("extra", (500_000_000,), "f4", chunks=(1_000_000,), fillvalue=1.0)


def compressed_zeros(file, group):
    file.create_dataset("extra", (400, 1_000_000), "u1", chunks=(1, 1_000_000), compression="gzip")[:] = 0


def longer_than_it_says(file, group):
    """Compressed zeros that go on after the end of their part: HDF5 decompresses all of them."""
    import zlib

    array = file.create_dataset("extra", (1000,), "u1", chunks=(1000,), compression="gzip")
    array.id.write_direct_chunk((0,), zlib.compress(bytes(5_000_000)))


def shared_texts(file, group):
    """A long text to which thousands of places point."""
    text = "x" * 1_000_000
    file.attrs.create("extra", np.array([text], object), dtype=h5py.string_dtype())
    array = file.create_dataset("texts", (2000,), h5py.string_dtype())
    array[0] = text


MEMORY = (fill_values, compressed_zeros, longer_than_it_says, shared_texts)


def copy_of(path, folder):
    return shutil.copy(path, folder / path.name)
