"""`load_legacy`: loads Keras 2 `.h5` files, also tfmot's pruned models, as models of Keras 3."""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import h5py
import keras
import numpy as np

from keras_prune import _keras
from keras_prune.legacy.config import MODELS, Translation, Wrapped
from keras_prune.legacy.groups import read_group, read_names, read_weight, write_names
from keras_prune.masking.masked_weights import apply_masks, find_masked, walk_layers
from keras_prune.reading.hdf5_files import check_hdf5
from keras_prune.reading.json_files import parse_json
from keras_prune.reading.model_files import load_hdf5_file, refusal
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

    Nothing in the file is run: no pickles are read, and layers that hold Python code are refused. The file is opened to
    be read only, and nothing in it opens another: links, arrays and vocabularies in other files are refused. So are
    arrays and layers that would take more than 256 MiB, and more than 100 times the size of the file.

    Args:
        path: The file.
        custom_objects: Classes and functions by name, as in `keras.saving.load_model`. Defaults to None.

    Returns:
        The model, not compiled: the optimizer's state is not loaded.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no `.h5` file, holds weights only or damaged ones, leads into another file or would take
            too much memory, or a layer cannot be loaded; the message names it and says why.

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
    with _keras.safe_mode():
        config = _read_config(path)
        try:
            translation = Translation(config, objects)
            settings = {wrapped.path: _read_settings(wrapped, objects) for wrapped in translation.wrapped}
        except ValueError as error:
            raise error if "Received: " in str(error) else _damaged(path, error) from error
        except Exception as error:  # values of types that no configuration has
            raise _damaged(path, error) from error
        with temporary_folder("keras_prune_") as folder:
            copy = folder / "model.h5"
            try:
                masks = _copy_weights(path, copy, translation)
                model = load_hdf5_file(copy, translation.config, objects)
            except Exception as error:
                raise ValueError(f"{_diagnose(translation.config, objects, error)} Received: path='{path}'") from error
        if not settings:
            return model
        paths = {id(layer): layer_path for layer_path, layer in walk_layers(model)}
        try:
            pruned = wrap_layers(model, lambda layer: settings.get(paths[id(layer)]))
            _set_masks(pruned, translation.wrapped, masks, path)
        except ValueError:
            raise
        except Exception as error:
            raise _damaged(path, error) from error
        return pruned


def _read_config(path: pathlib.Path) -> dict[str, Any]:
    """The configuration of the model in a file, all of which is checked first."""
    try:
        check_hdf5(path, path.stat().st_size)
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            weights = "layer_names" in file.attrs or "layer_names0" in file.attrs
            complete = isinstance(file.get("model_weights"), h5py.Group)
    except Exception as error:  # h5py has others for values that are no text
        raise ValueError(f"The file cannot be read: {error}. Received: path='{path}'") from error
    if text is None:
        why = "holds weights only: build the model in code and call `load_weights`" if weights else "holds no model"
        raise ValueError(f"The file {why}. Received: path='{path}', without `model_config`")
    if not complete:
        raise ValueError(f"The file holds a model without weights. Received: path='{path}', without `model_weights`")
    try:
        config = parse_json(text)
        is_model = config["class_name"] in MODELS and isinstance(config["config"], dict | list)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
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


def _copy_weights(path: pathlib.Path, copy: pathlib.Path, translation: Translation) -> dict[str, list[np.ndarray]]:
    """Writes a file with the translated configuration and the weights, and returns the masks: of each group of weights.

    The copy holds what was read and checked, and nothing else of the file.
    """
    masks: dict[str, list[np.ndarray]] = {}
    groups = {wrapped.group for wrapped in translation.wrapped}
    with h5py.File(path, "r") as file, h5py.File(copy, "w") as new:
        for name in ("keras_version", "backend"):
            for each, to in ((file, new), (file["model_weights"], new.require_group("model_weights"))):
                if name in each.attrs:
                    to.attrs[name] = each.attrs[name]
        new.attrs["model_config"] = json.dumps(translation.config)
        names = read_names(file["model_weights"], "layer_names")
        write_names(new["model_weights"], "layer_names", names)
        top = ["top_level_model_weights"] if "top_level_model_weights" in file["model_weights"] else []
        for name in [*names, *top]:
            group, to = read_group(file["model_weights"], name), new["model_weights"].create_group(name)
            found = {weight: _STATE.search(weight) for weight in read_names(group, "weight_names")}
            if name in groups:
                masks[name] = [
                    read_weight(group, weight) for weight, state in found.items() if state and state[2] == "mask"
                ]
            kept = [weight for weight, state in found.items() if not (state and name in groups)]
            write_names(to, "weight_names", kept)
            for weight in kept:
                to[weight] = read_weight(group, weight)
    return masks


def _set_masks(
    model: keras.Model, wrapped: list[Wrapped], masks: dict[str, list[np.ndarray]], path: pathlib.Path
) -> None:
    groups = {each.path: each.group for each in wrapped}
    left = {group: list(found) for group, found in masks.items()}
    for weight in find_masked(model):
        found = left.get(groups[weight.layer], [])
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
            why = refusal(reason) or f"{_shortened(reason)}."
            return f"The layer '{name}' of class {layer['class_name']} cannot be made: {why}"
    return refusal(error) or f"Keras cannot load the model: {_shortened(error)}."


def _damaged(path: pathlib.Path, error: Exception) -> ValueError:
    return ValueError(f"The model's configuration is damaged ({_shortened(error)}). Received: path='{path}'")


def _shortened(error: Exception) -> str:
    """The cause in one of Keras's errors, which quote whole configurations around it."""
    return str(error).rsplit("Exception encountered: ", 1)[-1].split("Full object config")[0].strip(" .\n")[:500]
