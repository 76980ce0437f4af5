"""Translation of the configuration of a Keras 2 model for Keras 3.

Arguments that Keras 3 no longer has are dropped where their value has no effect, and refused by name where it has.
tfmot's wrappers are removed, and their settings kept apart.
"""

import dataclasses
import inspect
from collections.abc import Container, Mapping
from typing import Any

import keras

MODELS = {"Model", "Functional", "Sequential"}
_OPERATIONS = {"TFOpLambda": "function", "SlicingOpLambda": "function", "TensorFlowOpLayer": "node_def"}
_PARTS = {"layer", "backward_layer", "cell", "cells"}  # arguments that hold layers
_BASE_ARGUMENTS = {"name", "dtype", "trainable", "autocast", "activity_regularizer", "input_shape", "batch_shape"}
_ANY = object()
# Arguments of Keras 2 that Keras 3 does not have: the values without an effect, whatever the layer.
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "groups": (1,),
    "implementation": (_ANY,),
    "fused": (_ANY,),
    "input_length": (_ANY,),
    "batch_input_shape": (_ANY,),  # of a first layer it became an InputLayer
    "output_padding": ((),),
}
_RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}


@dataclasses.dataclass
class Wrapped:
    """Layer that tfmot had wrapped.

    Args:
        group: Name, in the file, of the layer of the outermost model that holds its weights.
        path: Its path in the model, as in `summary(model)`.
        settings: The configuration of tfmot's wrapper: `pruning_schedule` and others.
    """

    group: str
    path: str
    settings: dict[str, Any]


class Translation:
    """Translation of one configuration: `config` is the result, `wrapped` lists the layers that tfmot had wrapped.

    Args:
        config: `{"class_name": ..., "config": ...}` of a model. It is not changed.
        custom_objects: Classes by name, as in `keras.saving.load_model`.

    Raises:
        ValueError: A layer that cannot be translated; the message names it and says why.
    """

    def __init__(self, config: Mapping[str, Any], custom_objects: Mapping[str, Any]):
        self._custom = custom_objects
        self.wrapped: list[Wrapped] = []
        self.config = self._model(dict(config), "", None)

    def _model(self, model: dict[str, Any], prefix: str, group: str | None) -> dict[str, Any]:
        inner = model["config"]
        if isinstance(inner, list):  # Sequential before Keras 2.2.3
            inner = {"name": "sequential", "layers": inner}
        if model["class_name"] == "Sequential":
            inner = inner | {"layers": _with_input(inner["layers"])}
        names = [_name(layer) for layer in inner["layers"]]
        taken = {_name(_unwrap(layer)) for layer in inner["layers"]}
        new: dict[str, str] = {}
        layers = []
        for layer, name in zip(inner["layers"], names, strict=True):
            plain = _unwrap(layer)
            new[name] = _valid_name(_name(plain), taken)
            path = f"{prefix}{new[name]}"
            if plain is not layer:
                settings = {key: value for key, value in layer["config"].items() if key != "layer"}
                self.wrapped.append(Wrapped(group or name, path, settings))
            fixed = self._layer(plain, path, group or name)
            fixed["config"]["name"] = new[name]
            if "name" in layer:
                fixed["name"] = new[name]
            if "inbound_nodes" in layer:
                fixed["inbound_nodes"] = layer["inbound_nodes"]
            layers.append(fixed)
        # Keras 2 counted the making of a Sequential as its first call, where it began with its input; Keras 3 does not.
        counted = {name for name, layer in zip(names, inner["layers"], strict=True) if _counts_from_one(layer)}
        for layer in layers:
            if "inbound_nodes" in layer:
                layer["inbound_nodes"] = _rename(layer["inbound_nodes"], new, counted)
        ends = {key: _rename(inner[key], new, counted) for key in ("input_layers", "output_layers") if key in inner}
        inner = {key: value for key, value in inner.items() if key != "build_input_shape"}
        name = "Functional" if model["class_name"] == "Model" else model["class_name"]
        fixed_name = {"name": inner["name"].replace("/", "_")} if "name" in inner else {}
        return {"class_name": name, "config": inner | fixed_name | {"layers": layers} | ends}

    def _layer(self, layer: dict[str, Any], path: str, group: str) -> dict[str, Any]:
        class_name, config = layer["class_name"], layer.get("config")
        if not isinstance(config, dict | list):
            raise ValueError(f"The layer '{path}' has no configuration. Received: {layer!r}")
        if class_name in MODELS:
            return self._model({"class_name": class_name, "config": config}, f"{path}/", group)
        assert isinstance(config, dict)
        if class_name in _OPERATIONS:
            function = config.get(_OPERATIONS[class_name], config)
            raise ValueError(
                f"The layer '{path}' is the TensorFlow operation {_shortened(function)}, which Keras 3 has no layer "
                "for: put a Keras layer or operation in its place in the code of the model, and load the weights. "
                f"Received: a layer of class {class_name}"
            )
        if class_name == "Lambda" and (
            config.get("function_type") == "lambda" or not isinstance(config.get("function"), str)
        ):
            raise ValueError(
                f"The layer '{path}' holds Python code, which is never run from a file: put a custom layer in its "
                "place. Received: a Lambda layer"
            )
        class_name, cls = self._find_class(class_name, path)
        config = {key: self._value(value, path, group, key in _PARTS) for key, value in config.items()}
        if class_name == "InputLayer" and "batch_input_shape" in config:
            config["batch_shape"] = config.pop("batch_input_shape")
        axis = config.get("axis")
        if isinstance(axis, list) and len(axis) == 1:
            config["axis"] = axis[0]
        for old, name in _RENAMED.get(class_name, {}).items():
            if old in config:
                config[name] = config.pop(old)
        if cls.__module__.startswith("keras."):
            config = _known_arguments(config, cls, path)
        return {"class_name": class_name, "config": config}

    def _value(self, value: Any, path: str, group: str, is_part: bool = False) -> Any:
        """A value in a configuration; layers in it (of wrappers, cells of RNNs) are translated too."""
        if isinstance(value, list):
            return [self._value(each, path, group, is_part) for each in value]
        if not (isinstance(value, dict) and "class_name" in value):
            return value
        if value["class_name"] in ("Policy", "PolicyV1", "DTypePolicy"):
            return value["config"]["name"]
        if is_part or self._is_layer(value["class_name"]):
            inner = (value.get("config") or {}).get("name") or value["class_name"]
            fixed = self._layer(value, f"{path}/{inner}", group)
            ours = hasattr(keras.layers, fixed["class_name"]) and fixed["class_name"] not in self._custom
            # Keras 3 looks for layers in layers in its own way, by their module.
            return {"module": "keras.layers", "registered_name": None} | fixed if ours else fixed
        return value

    def _is_layer(self, name: str) -> bool:
        cls = self._custom.get(name) or getattr(keras.layers, name, None)
        return name in MODELS or name in _OPERATIONS or (isinstance(cls, type) and issubclass(cls, keras.Layer))

    def _find_class(self, name: str, path: str) -> tuple[str, type]:
        """The class, and the name by which Keras will find it."""
        short = name.rsplit(">", 1)[-1]
        for candidate in (name, short):
            if candidate in self._custom:
                return candidate, self._custom[candidate]
        cls = keras.saving.get_registered_object(name) or getattr(keras.layers, name, None)
        if cls is None:
            raise ValueError(
                f"The layer '{path}' is of a class that Keras 3 does not have: pass a custom class for it, "
                f"`custom_objects={{'{short}': ...}}`. Received: a layer of class {name!r}"
            )
        return name, cls


def _known_arguments(config: dict[str, Any], cls: type, path: str) -> dict[str, Any]:
    """The configuration without the arguments that Keras 3 dropped.

    Raises:
        ValueError: One of them has a value with an effect.
    """
    known = _arguments(cls)
    kept = {}
    for name, value in config.items():
        if name in known:
            kept[name] = value
            continue
        # Initial values have no effect: the weights are in the file.
        harmless = name.endswith("_initializer") or value is None or value is False
        values = _WITHOUT_EFFECT.get(name, ())
        if not harmless and not any(each is _ANY or each == value for each in values):
            raise ValueError(
                f"The layer '{path}' uses an argument that {cls.__name__} does not have in Keras 3. "
                f"Received: {name}={value!r}"
            )
    return kept


def _arguments(cls: type) -> set[str]:
    """The arguments that a layer class takes, with those that it passes to its bases."""
    if cls is keras.layers.Lambda:
        return _BASE_ARGUMENTS | {"function", "output_shape", "mask", "arguments", "function_type", "module"}
    known = set(_BASE_ARGUMENTS)
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        known |= {each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return known - {"self"}


def _unwrap(layer: dict[str, Any]) -> dict[str, Any]:
    """The layer in one of tfmot's wrappers, or the layer itself."""
    return layer["config"]["layer"] if layer.get("class_name") == "PruneLowMagnitude" else layer


def _with_input(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The layers of a Sequential with an InputLayer, where the first layer itself had the shape of its inputs."""
    if not layers or layers[0]["class_name"] == "InputLayer" or not isinstance(layers[0]["config"], dict):
        return layers
    config = layers[0]["config"]
    shape = config.get("batch_input_shape") or _unwrap(layers[0])["config"].get("batch_input_shape")
    if shape is None:
        return layers
    dtype = config.get("dtype")
    given = {"dtype": dtype} if isinstance(dtype, str) and layers[0]["class_name"] != "Embedding" else {}
    return [{"class_name": "InputLayer", "config": {"name": "input", "batch_input_shape": shape} | given}, *layers]


def _counts_from_one(layer: dict[str, Any]) -> bool:
    config = layer["config"]
    layers = config if isinstance(config, list) else config.get("layers")
    return layer["class_name"] == "Sequential" and bool(layers) and _with_input(layers)[0]["class_name"] == "InputLayer"


def _name(layer: dict[str, Any]) -> str:
    config = layer.get("config")
    name = layer.get("name") or (config.get("name") if isinstance(config, dict) else None)
    return name or str(layer.get("class_name"))


def _valid_name(name: str, taken: set[str]) -> str:
    """Keras 3 allows no slash in a name. The new name must be no other layer's."""
    valid = name.replace("/", "_")
    while valid != name and valid in taken:
        valid += "_"
    taken.add(valid)
    return valid


def _rename(value: Any, names: Mapping[str, str], counted: Container[str]) -> Any:
    """References to tensors, `[layer, node, tensor, ...]`, with the new names and nodes of layers."""
    if isinstance(value, dict):
        return {key: _rename(each, names, counted) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    is_reference = len(value) >= 3 and isinstance(value[0], str) and all(isinstance(each, int) for each in value[1:3])
    if not is_reference or value[0] not in names:
        return [_rename(each, names, counted) for each in value]
    name, node, *rest = value
    return [names[name], node - (name in counted and node > 0), *(_rename(each, names, counted) for each in rest)]


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
