"""`load_legacy`: loads Keras 2 `.h5` files, also tfmot's pruned models, as models of Keras 3."""

import json
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

import h5py
import keras
import numpy as np

from keras_prune.legacy.config import MODELS, Translation, Wrapped
from keras_prune.legacy.groups import read_names, read_weight, write_names
from keras_prune.masking.masked_weights import apply_masks, find_masked, walk_layers
from keras_prune.tfmot.prune import wrap_layers
from keras_prune.tfmot.schedules import deserialize_schedule
from keras_prune.tfmot.wrapper import check_settings
from keras_prune.validation import check_path
from tflite_export.scratch import temporary_folder

# What tfmot's wrapper stored besides the weights of its layer.
_STATE = re.compile(r"(^|/)prune_low_magnitude_[^/]*/(mask|threshold|pruning_step)(_\d+)?:0$")


def load_legacy(path: str | pathlib.Path, custom_objects: Mapping[str, Any] | None = None) -> keras.Model:
    """Load a whole model that Keras 2 wrote to an `.h5` file; `keras.saving.load_model` refuses many of them.

    Arguments of layers that Keras 3 no longer has are dropped if they have no effect; slashes in layer names become
    `_`. A model that tfmot had pruned keeps its masks: its layers are wrapped as by
    `keras_prune.tfmot.prune_low_magnitude`, each with its schedule, and named as they were before tfmot wrapped them.
    `strip_pruning` removes the masks; `keras_prune.tfmot.UpdatePruningStep` continues pruning.

    Nothing in the file is run: no pickles are read, and layers that hold Python code are refused.

    Args:
        path: The file.
        custom_objects: Classes and functions by name, as in `keras.saving.load_model`. Defaults to None.

    Returns:
        The model, not compiled: the optimizer's state is not loaded.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no `.h5` file, holds weights only or damaged ones, or a layer cannot be loaded; the
            message names it and says why.

    Example:

    ```python
    model.save("old.h5")  # in practice, with Keras 2
    model = load_legacy("old.h5")
    ```
    """
    path = pathlib.Path(check_path(path, "path"))
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise TypeError(f"`custom_objects` must be a dictionary by name. Received: custom_objects={custom_objects!r}")
    objects = dict(custom_objects or {})
    if not path.is_file():
        raise FileNotFoundError(f"`path` must be a file. Received: path='{path}'")
    translation = Translation(_read_config(path), objects)
    settings = {wrapped.path: _read_settings(wrapped, objects) for wrapped in translation.wrapped}
    with temporary_folder("keras_prune_") as folder:
        copy = folder / "model.h5"
        shutil.copyfile(path, copy)
        try:
            masks = _rewrite(copy, translation)
            model = keras.saving.load_model(copy, custom_objects=objects, compile=False, safe_mode=True)
        except Exception as error:
            raise ValueError(f"{_diagnose(translation.config, objects, error)} Received: path='{path}'") from error
    if not settings:
        return model
    paths = {id(layer): layer_path for layer_path, layer in walk_layers(model)}
    pruned = wrap_layers(model, lambda layer: settings.get(paths[id(layer)]))
    _set_masks(pruned, translation.wrapped, masks, path)
    return pruned


def _read_config(path: pathlib.Path) -> dict[str, Any]:
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            weights = "layer_names" in file.attrs or "layer_names0" in file.attrs
            complete = "model_weights" in file
    except OSError as error:
        raise ValueError(f"The file is no HDF5 file, or a damaged one ({error}). Received: path='{path}'") from error
    if text is None:
        why = "holds weights only: build the model in code and call `load_weights`" if weights else "holds no model"
        raise ValueError(f"The file {why}. Received: path='{path}', without `model_config`")
    if not complete:
        raise ValueError(f"The file holds a model without weights. Received: path='{path}', without `model_weights`")
    try:
        config = json.loads(text)
        is_model = config["class_name"] in MODELS and isinstance(config["config"], dict | list)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The model's configuration is damaged ({error}). Received: path='{path}'") from error
    if not is_model:
        raise ValueError(
            "Only Sequential and Functional models are saved whole in .h5 files. "
            f"Received: path='{path}' with a model of class {config['class_name']!r}"
        )
    return config


def _read_settings(wrapped: Wrapped, custom_objects: dict[str, Any]) -> dict[str, Any]:
    """The arguments of our wrapper, from the configuration of tfmot's."""
    config = wrapped.settings
    return check_settings(
        deserialize_schedule(config["pruning_schedule"], custom_objects),
        config.get("block_size", (1, 1)),
        config.get("block_pooling_type", "AVG"),
        None,  # tfmot does not save it
    )


def _rewrite(path: pathlib.Path, translation: Translation) -> dict[str, list[np.ndarray]]:
    """Puts the translated configuration into the file, and takes the masks out: those of each group of weights."""
    masks: dict[str, list[np.ndarray]] = {}
    groups = {wrapped.group for wrapped in translation.wrapped}
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(translation.config)
        for name in read_names(file["model_weights"], "layer_names"):
            if name not in groups:
                continue
            group = file["model_weights"][name]
            weights = read_names(group, "weight_names")
            state = [(weight, _STATE.search(weight)) for weight in weights]
            masks[name] = [read_weight(group, weight) for weight, found in state if found and found[2] == "mask"]
            write_names(group, "weight_names", [weight for weight, found in state if not found])
    return masks


def _set_masks(
    model: keras.Model, wrapped: list[Wrapped], masks: dict[str, list[np.ndarray]], path: pathlib.Path
) -> None:
    groups = {each.path: each.group for each in wrapped}
    left = {group: list(found) for group, found in masks.items()}
    for weight in find_masked(model):
        found = left[groups[weight.layer]]
        if not found or found[0].shape != tuple(weight.weight.shape):
            raise ValueError(
                f"The mask of '{weight.layer}/{weight.name}', of shape {tuple(weight.weight.shape)}, is not where it "
                f"should be. Received: path='{path}' with {[each.shape for each in found]} in its place"
            )
        weight.mask.assign((found.pop(0) != 0).astype("float32"))
    apply_masks(model)  # tfmot's files hold dense weights beside the masks


def _diagnose(config: dict[str, Any], custom_objects: dict[str, Any], error: Exception) -> str:
    """The cause of an error: the first layer that cannot be made by itself, else the message of Keras."""
    for layer in config["config"]["layers"]:
        cls = custom_objects.get(layer["class_name"]) or getattr(keras.layers, layer["class_name"], None)
        if cls is None:  # a model in the model
            continue
        try:
            cls.from_config(dict(layer["config"]))
        except Exception as reason:
            name = layer["config"].get("name")
            return f"The layer '{name}' of class {layer['class_name']} cannot be made: {_shortened(reason)}."
    return f"Keras cannot load the model: {_shortened(error)}."


def _shortened(error: Exception) -> str:
    """The cause in one of Keras's errors, which quote whole configurations around it."""
    return str(error).rsplit("Exception encountered: ", 1)[-1].split("Full object config")[0].strip(" .\n")[:500]
