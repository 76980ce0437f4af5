"""Loading model files of Keras 3 that are not trusted."""

import copy
import io
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.reading.archives import check_archive, open_archive, read_member
from keras_prune.reading.hdf5_files import check_hdf5
from keras_prune.reading.json_files import parse_json
from keras_prune.reading.limits import check_expansion
from keras_prune.reading.npz_files import NpzReader

# In Keras's refusals, and what they mean.
_REFUSED = {
    "a vocabulary file": "A layer takes its vocabulary from another file, which is never opened: give it the words as "
    "a list, and save the model again.",
    "TFSMLayer": "A TFSMLayer runs a TensorFlow SavedModel in another folder, which is never opened.",
    "torch.nn.Module": "A TorchModuleWrapper holds a pickled PyTorch module, which is never loaded.",
}


def load_keras_file(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    *,
    compile: bool = False,
    safe: bool | None = True,
) -> Any:
    """Loads a `.keras` file as `keras.saving.load_model` does, once it was checked.

    Args:
        path: The file.
        custom_objects: As in Keras. Defaults to None.
        compile: As in Keras. Defaults to False.
        safe: Whether Python code in the file is refused, and configurations that open other files; None: unless the
            user has called `keras.config.enable_unsafe_deserialization`. Defaults to True.

    Raises:
        ValueError: The file is damaged, leads into other files, or would take much more memory than it has bytes; or
            whatever Keras raises.
    """
    path = pathlib.Path(path)
    size = path.stat().st_size
    config = _check_keras_file(path, size) | {"compile_config": None}

    def build() -> Any:
        return keras.saving.deserialize_keras_object(copy.deepcopy(config), custom_objects)

    with _keras.safe_mode(safe):
        check_expansion(_keras.bytes_of_variables(build), size, "the model")
        return keras.saving.load_model(path, custom_objects=custom_objects, compile=compile)


def load_hdf5_file(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    custom_objects: Mapping[str, Any],
    *,
    compile: bool = False,
    safe: bool = True,
) -> Any:
    """Loads an `.h5` file that was checked, with `check_hdf5`, as `keras.saving.load_model` does.

    Args:
        path: The file.
        config: The configuration of the model, from the file.
        custom_objects: As in Keras.
        compile: As in Keras. Defaults to False.
        safe: As of `load_keras_file`.

    Raises:
        ValueError: The model would take much more memory than the file has bytes; or whatever Keras raises.
    """
    path = pathlib.Path(path)

    def build() -> Any:
        return _keras.model_of_keras_2(copy.deepcopy(dict(config)), custom_objects)

    with _keras.safe_mode(safe):
        check_expansion(_keras.bytes_of_variables(build), path.stat().st_size, "the model")
        return keras.saving.load_model(path, custom_objects=dict(custom_objects), compile=compile, safe_mode=safe)


def refusal(error: BaseException) -> str | None:
    """What in a file Keras refused to load in safe mode, if that is it, in words; None for Python code and the rest."""
    text = str(error)
    if "Unknown layer: 'TFSMLayer'" in text:  # in an `.h5` file
        return _REFUSED["TFSMLayer"]
    if "safe_mode" not in text and "unsafe_deserialization" not in text:
        return None
    return next((words for mark, words in _REFUSED.items() if mark in text), None)


def newer_keras(path: str | os.PathLike[str]) -> str | None:
    """The version of Keras that wrote a `.keras` file, if it is newer than the one that is here."""
    try:
        with open_archive(pathlib.Path(path)) as archive:
            members = check_archive(archive, pathlib.Path(path).stat().st_size)
            written = parse_json(read_member(archive, members["metadata.json"]))["keras_version"]
        return written if _numbers(written) > _numbers(keras.__version__) else None
    except Exception:  # whatever the file is, it does not say so
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _check_keras_file(path: pathlib.Path, size: int) -> dict[str, Any]:
    """The configuration in a `.keras` file, whose other members are checked too."""
    with open_archive(path) as archive:
        members = check_archive(archive, size)
        if "config.json" not in members:
            raise ValueError("it has no config.json")
        check_expansion(members["config.json"].file_size, size, "config.json")
        config = parse_json(read_member(archive, members["config.json"]))
        weights = members.get("model.weights.h5")
        if weights is not None:
            check_hdf5(io.BytesIO(read_member(archive, weights)), weights.file_size)
        elif "model.weights.npz" in members:
            with NpzReader(io.BytesIO(read_member(archive, members["model.weights.npz"]))) as arrays:
                for name in arrays.names:
                    arrays.header(name)
    return config
