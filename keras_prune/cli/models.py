"""Models from files, which are not trusted: code in them is not run unless the user allows it."""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import keras

from keras_prune.cli.errors import BadInput, shortened
from keras_prune.cli.files import ModelFile
from keras_prune.legacy import load_legacy
from keras_prune.reading.hdf5_files import check_hdf5
from keras_prune.reading.json_files import parse_json
from keras_prune.reading.model_files import load_hdf5_file, load_keras_file, newer_keras, refusal

# Custom classes that a model file may name.
_KINDS = (
    keras.Layer,
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.optimizers.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
)


def load_model(path: str, custom_objects: Iterable[str] = (), *, unsafe: bool = False, compile: bool = False) -> Any:
    """Load a Keras model.

    Args:
        path: A `.keras` file, or an `.h5` file of Keras 3, Keras 2 or tfmot.
        custom_objects: Modules, or `module:name`, with the custom classes and functions of the model. They are
            imported. Defaults to none.
        unsafe: Whether Python code in the file, that of Lambda layers, may be run. Defaults to False.
        compile: Whether the model is compiled as it was when it was saved. Files of Keras 2 never are. Defaults to
            False.

    Raises:
        BadInput: There is no such file, it holds no model, or one that cannot be loaded; the message says why.
    """
    file, objects = Path(path), find_objects(custom_objects)
    ModelFile(path).check()
    try:
        if file.suffix == ".keras":
            model = load_keras_file(file, objects, compile=compile, safe=not unsafe)
        elif (config := _config_of_keras_3(file)) is None:
            return load_legacy(file, objects)
        else:
            model = load_hdf5_file(file, config, objects, compile=compile, safe=not unsafe)
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"{_reason(error, newer_keras(file))} Received: {path!r}") from error
    if not isinstance(model, keras.Model):
        raise BadInput(f"The file must hold a Keras model. Received: {path!r} with a {type(model).__name__}")
    return model


def find_objects(names: Iterable[str]) -> dict[str, Any]:
    """Return the custom classes and functions of modules: of `module` all that Keras may need, of `module:name` one.

    The modules are imported, from the current folder too, so their code runs.

    Raises:
        BadInput: A module cannot be imported, or holds nothing of the kind.
    """
    found: dict[str, Any] = {}
    for name in names:
        module_name, _, attribute = name.partition(":")
        folder = os.getcwd()
        sys.path.insert(0, folder)
        try:
            module = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:  # whatever the module does
            why = f"{type(error).__name__}: {shortened(error)}"
            raise BadInput(f"--custom-objects must name a module ({why}). Received: {name!r}") from error
        finally:
            sys.path.remove(folder)
        own = {key: value for key, value in vars(module).items() if _is_custom(value, module.__name__)}
        if attribute:
            own = {attribute: getattr(module, attribute)} if hasattr(module, attribute) else {}
        if not own:
            raise BadInput(f"The module has no Keras classes or functions of its own. Received: {name!r}")
        found |= own
    return found


def _is_custom(value: Any, module: str) -> bool:
    if inspect.isfunction(value):  # an activation, a loss
        return value.__module__ == module
    return isinstance(value, type) and issubclass(value, _KINDS) and not value.__module__.startswith("keras.")


def _config_of_keras_3(file: Path) -> dict[str, Any] | None:
    """The configuration in an `.h5` file of Keras 3, all of which is checked; None for one that is older, or no model.

    `load_legacy` checks those, and says which.
    """
    if not h5py.is_hdf5(file):
        return None
    check_hdf5(file, file.stat().st_size)
    with h5py.File(file, "r") as archive:
        version = archive.attrs.get("keras_version", b"")
        config = archive.attrs.get("model_config")
    version = version.decode() if isinstance(version, bytes) else str(version)
    major = version.partition(".")[0]
    return parse_json(config) if config is not None and major.isdecimal() and int(major) >= 3 else None


def _reason(error: Exception, newer: str | None) -> str:
    """Return why a model cannot be loaded, without the configurations that Keras puts around the cause.

    Args:
        error: What was raised.
        newer: The version of Keras that wrote the file, if this one is older.
    """
    text = str(error)
    if refused := refusal(error):
        return refused
    if "safe_mode" in text or "unsafe_deserialization" in text:
        return (
            "The file holds Python code (a Lambda layer, say), which is not run: pass --unsafe if you trust its source."
        )
    older = f" Or it needs Keras {newer}, which wrote it: this is Keras {keras.__version__}." if newer else ""
    if own := re.search(r"(?:Could not locate|Unknown) (\w+):? '(\w+)'", text):
        return f"The model has a custom {own[1]} '{own[2]}': name its module with --custom-objects.{older}"
    cause = re.split(r"Received: |Full object config|config=\{", text.split("Exception encountered: ")[-1])[0]
    return f"The model cannot be loaded: {shortened(ValueError(cause or type(error).__name__)).rstrip('.')}.{older}"
