"""A model made from its configuration again, with other numbers in those of some layers in it."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_prune import _keras

Changes = Sequence[tuple[keras.Layer, Mapping[str, Any]]]


def remake(model: keras.Model, changes: Changes) -> keras.Model:
    """Return a model of the same class whose weights are new.

    Parts of it without weights, such as a tokenizer, which a configuration does not hold as a whole, are shared.

    Args:
        model: The model.
        changes: Layers in it, or the model itself, and the entries of their configurations that shall differ.

    Raises:
        ValueError: The model cannot be made from its configuration, or that does not say the layers'.
    """
    config = copy.deepcopy(model.get_config())
    for layer, entries in changes:
        places = [config] if layer is model else list(_places(config, layer))
        if len(places) != 1 or not all(key in places[0] for key in entries):
            raise ValueError(
                f"The configuration of the model '{model.name}' must hold that of '{layer.name}' once, with the keys "
                f"{list(entries)}. Received: {len(places)} of class {type(layer).__name__}"
            )
        places[0].update(entries)
    for key, value in config.items():
        part = getattr(model, key, None)
        if isinstance(value, dict) and isinstance(part, keras.Layer) and not part.weights:
            config[key] = part
    own = {type(part).__name__: type(part) for part in _keras.flatten(model) if not _keras.is_of_keras(type(part))}
    try:
        with _keras.trusted(), keras.saving.custom_object_scope(own):
            made = type(model).from_config(config)
    except Exception as error:  # whatever the constructors of custom classes raise
        sizes = "; ".join(f"'{layer.name}': {dict(entries)}" for layer, entries in changes)
        raise ValueError(
            f"The class {type(model).__name__} cannot be made from its configuration: {type(error).__name__}: {error}. "
            f"Received: '{model.name}' with {sizes}"
        ) from error
    if len(made.weights) != len(model.weights):
        raise ValueError(
            f"The class {type(model).__name__}, made from its configuration, has other weights: {len(made.weights)}, "
            f"not {len(model.weights)}. Received: '{model.name}'"
        )
    return made


def _places(config: Any, layer: keras.Layer) -> Any:
    """The configurations of a layer inside another configuration."""
    if isinstance(config, dict):
        inner = config.get("config")
        named = isinstance(inner, dict) and inner.get("name") == layer.name
        if named and config.get("class_name") == type(layer).__name__:
            yield inner
            return
        for value in config.values():
            yield from _places(value, layer)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _places(value, layer)
