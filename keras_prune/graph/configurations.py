"""The copy of a layer from its configuration, which other sizes take: what no configuration tells is passed on.

Functions, and the user's initializers, regularizers and constraints, need neither be registered nor tell a
configuration. Those of layers in a layer are left out of its configuration, and set where the new one is made.
"""

import types
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.graph.duplicate import duplicate

_OBJECTS = (keras.initializers.Initializer, keras.regularizers.Regularizer, keras.constraints.Constraint)
_HELD = (*_OBJECTS, types.FunctionType)


def reconfigure(layer: keras.Layer, changes: Mapping[str, Any]) -> keras.Layer:
    """Return a new layer made from the configuration of this one, not yet built.

    Args:
        layer: The layer.
        changes: Entries of the configuration that shall differ.

    Raises:
        ValueError: The layer's class cannot be made from its configuration.
    """
    if isinstance(layer, keras.layers.Lambda):
        return _keras.copy_lambda(layer)
    if type(layer) is keras.layers.JaxLayer:
        return _keras.copy_jax_layer(layer)
    try:
        config = _configuration(layer)
        held = config | _held(layer, config)
        with _keras.trusted():  # layers that hold modules of PyTorch, or a SavedModel
            try:
                made = type(layer).from_config(_copied(config | dict(changes)))
            except (TypeError, ValueError):  # objects of unregistered classes are passed on as they are
                made = type(layer).from_config(_copied(held | dict(changes)))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"Cannot copy layer '{layer.name}': its class must implement `get_config` (and `from_config`, if its "
            f"arguments are no plain values). Received: a layer of class {type(layer).__name__} ({error})"
        ) from error
    _pass_on(layer, made)
    for key, value in vars(layer).items():  # numbers that its constructor may have drawn
        again = vars(made).get(key)
        if isinstance(value, np.ndarray) and isinstance(again, np.ndarray) and value.shape == again.shape:
            setattr(made, key, value.copy())
    return made


def describe(layer: keras.Layer) -> dict[str, Any]:
    """Return the class and configuration of a layer in another one, for the configuration of that: see `reconfigure`.

    It says nothing of the shape that the layer was built for.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*lambda.*")  # that it could not be loaded: it is not saved
        described: dict[str, Any] = keras.saving.serialize_keras_object(_describable(layer, inside=True))
    described.pop("build_config", None)
    return described


def _copied(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration of its own dicts and lists: some of Keras's classes take entries out of theirs."""
    if isinstance(config, dict):
        return {key: _copied(value) for key, value in config.items()}
    return [_copied(value) for value in config] if type(config) is list else config


def _configuration(layer: keras.Layer) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*lambda.*")  # that it could not be loaded: it is not saved
        config = _describable(layer).get_config()
    # Functions, such as an activation of the user's, are passed on as they are: only some can be found by name.
    functions = {key: getattr(layer, key, None) for key in config}
    return config | {key: value for key, value in functions.items() if _is_function(key, value)}


def _is_function(key: str, value: Any) -> bool:
    """Whether an entry of a configuration is a function, or an activation that is called like one."""
    called = key.endswith("activation") and callable(value) and not isinstance(value, keras.Layer)
    return called or isinstance(value, types.FunctionType)


def _describable(layer: keras.Layer, inside: bool = False) -> keras.Layer:
    """The layer, or a copy with plain things where what it, or a layer in it, holds cannot be described.

    Such are objects that are called like functions, and activations that were set to None after the layer was made,
    which Keras calls as linear ones; and in layers in it, what is of the user's. That of the layer itself is passed to
    its constructor.

    Args:
        layer: The layer.
        inside: Whether it is in another layer. Defaults to False.
    """
    found = {} if inside else {(0, key): keras.activations.linear for key in _lost_activations(layer)}
    found |= {(place, key): plain for place, key, plain in _of_user(layer) if place or inside}
    if not found:
        return layer
    twin = duplicate(layer)
    parts = _keras.flatten(twin)
    for (place, key), plain in found.items():
        setattr(parts[place], key, plain)
    return twin


def _lost_activations(layer: keras.Layer) -> list[str]:
    activations = {key: value for key, value in vars(layer).items() if key.endswith("activation")}
    lost = [key for key, value in activations.items() if value is None or _is_function(key, value)]
    return [] if all(isinstance(activations[key], types.FunctionType) for key in lost) else lost


def _of_user(layer: keras.Layer) -> Iterator[tuple[int, str, Any]]:
    """What of the user's Keras's own classes hold, in the layer and the layers in it: the place of the part, the
    attribute, and what may stand there in a description."""
    for place, part in enumerate(_keras.flatten(layer)):
        for key, value in vars(part).items() if _keras.is_of_keras(type(part)) else ():
            if (_is_function(key, value) and not _is_known(value)) or (value is None and key.endswith("activation")):
                yield place, key, keras.activations.linear
            elif isinstance(value, _OBJECTS) and not _keras.is_of_keras(type(value)):
                yield place, key, keras.initializers.Zeros() if isinstance(value, _OBJECTS[0]) else None


def _is_known(function: Any) -> bool:
    """Whether Keras finds a function by its name, or by its class."""
    named: Any = function if isinstance(function, types.FunctionType) else type(function)
    return _keras.is_of_keras(named)


def _pass_on(layer: keras.Layer, made: keras.Layer) -> None:
    """Sets in a layer made from a description what that left out, before it is built.

    Raises:
        ValueError: The layers in it are others.
    """
    left_out = [(place, key) for place, key, _ in _of_user(layer) if place]
    old, new = _keras.flatten(layer), _keras.flatten(made)
    if left_out and [type(part) for part in old] != [type(part) for part in new]:
        raise ValueError(
            f"Cannot copy layer '{layer.name}': what the layers in it hold must be registered with Keras. Received: a "
            f"layer of class {type(layer).__name__}, whose configuration makes other layers in it"
        )
    for place, key in left_out:
        setattr(new[place], key, vars(old[place])[key])


def _held(layer: keras.Layer, config: Mapping[str, Any]) -> dict[str, Any]:
    """The objects that the layer holds where its configuration describes objects."""
    described = [key for key, value in config.items() if isinstance(value, dict) and "class_name" in value]
    held = {key: getattr(layer, key, None) for key in described}
    return {key: value for key, value in held.items() if isinstance(value, _HELD)}
