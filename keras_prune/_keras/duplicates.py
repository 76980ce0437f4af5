"""What of a layer's inside Keras keeps for each instance: how an equal instance gets its own."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras.src.utils import tracking

from keras_prune._keras.graphs import FUNCTIONAL

# Made by `Layer.__new__` for each instance, told of one graph, or made when first asked for.
_OF_INSTANCE = frozenset({"build", "quantize", "_inbound_nodes", "_outbound_nodes", "_torch_params"})
# What `compile` and `fit` leave on a model, which copies never have.
_OF_TRAINING = frozenset({"optimizer", "_optimizer", "loss", "_loss_tracker", "_compile_loss", "_compile_metrics"}) | {
    "_compile_config",
    "train_function",
    "test_function",
    "predict_function",
}
# What such a layer holds is tied to its variables, or to a file, in ways that only its class knows.
_TIED = frozenset({"TorchModuleWrapper", "TFSMLayer"})
COLLECTIONS: tuple[type, ...] = (tracking.TrackedList, tracking.TrackedDict, tracking.TrackedSet)
if hasattr(tracking, "TrackedOrderedDict"):  # Keras 3.13 and earlier track no `OrderedDict`
    COLLECTIONS += (tracking.TrackedOrderedDict,)
TRACKED: tuple[type, ...] = (tracking.Tracker, keras.random.SeedGenerator, keras.metrics.Metric)


def can_duplicate(layer: keras.Layer) -> bool:
    """Whether all that a layer is lies in its attributes."""
    return type(layer).__name__ not in _TIED and not _is_nnx_enabled()


def _is_nnx_enabled() -> bool:
    enabled = getattr(keras.config, "is_nnx_enabled", None)  # Keras 3.10 has no such layers
    return enabled is not None and enabled()


def empty_instance(layer: keras.Layer) -> keras.Layer:
    """A layer of the same class on which no constructor has run. Its `build` and `quantize` are its own."""
    empty = keras.Layer.__new__(type(layer))
    signature = getattr(layer.build, "__signature__", None)
    if signature is not None:
        empty.build.__signature__ = signature
    vars(empty).update(_inbound_nodes=[], _outbound_nodes=[])
    return empty


def kept_attributes(layer: keras.Layer) -> dict[str, Any]:
    """What an equal layer must hold too, by attribute."""
    left_out = _OF_INSTANCE | (_OF_TRAINING if isinstance(layer, keras.Model) else frozenset())
    held = {key: value for key, value in vars(layer).items() if key not in left_out}
    if "compiled" in held and isinstance(layer, keras.Model):
        held["compiled"] = False
    if "_return_attention_scores" in held and isinstance(layer, keras.layers.Attention):
        held["_return_attention_scores"] = False  # how it was called last: before Keras 3.15 it cannot be so again
    modules = held.get("_modules")
    if modules and "_torch_params" in modules:  # on torch
        held["_modules"] = {key: value for key, value in modules.items() if key != "_torch_params"}
    return held


def fill_collection(collection: Any, empty: Any, copy: Callable[[Any], Any]) -> None:
    """Fills a new tracking list, dict or set with the copies of what another holds; nothing is tracked by that."""
    if isinstance(collection, dict):
        for key, value in collection.items():
            empty[key] = copy(value)
    elif isinstance(collection, list):
        empty.extend([copy(value) for value in collection])
    else:
        empty.update([copy(value) for value in collection])
    empty.tracker = copy(collection.tracker)


def fill_tracker(tracker: Any, empty: Any, copy: Callable[[Any], Any]) -> None:
    """Fills a new tracker with the copies of what another has tracked."""
    for key, value in vars(tracker).items():
        if key not in ("config", "stored_ids"):
            setattr(empty, key, copy(value))
    empty.config = {name: (test, copy(store)) for name, (test, store) in tracker.config.items()}
    empty.stored_ids = {name: {id(each) for each in store} for name, (_, store) in empty.config.items()}


def is_tracker(thing: object) -> bool:
    """Whether this is what a layer tracks its attributes with."""
    return isinstance(thing, tracking.Tracker)


def duplicate_variable(variable: keras.Variable, value: np.ndarray) -> keras.Variable:
    """A new variable of the same settings, path and regularizer. In a `keras.StatelessScope` its value comes later."""
    twin = keras.Variable(
        lambda shape, dtype: value,
        shape=tuple(variable.shape),
        dtype=variable.dtype,
        trainable=variable.trainable,
        autocast=variable._autocast,
        aggregation=variable.aggregation,
        synchronization=getattr(variable, "synchronization", "auto"),
        name=variable.name,
    )
    own = vars(twin)
    skipped = {"_value", "_initializer", "_shape", "_ndim", "_layout"}
    for key, each in vars(variable).items():
        if key not in skipped and not key.startswith("_self_") and (key not in own or own[key] is not each):
            own[key] = each
    # Of a constraint that knows one variable only, the copy gets what the other had.
    twin.constraint = getattr(variable.constraint, "of_copies", variable.constraint)
    return twin


def replace_variable(layer: keras.Layer, variable: keras.Variable, other: keras.Variable) -> None:
    """Puts another variable in the place of one that a layer, or a layer in it, holds."""
    for part in layer._flatten_layers():
        for key, value in list(vars(part).items()):
            if value is variable:
                vars(part)[key] = other
            elif isinstance(value, list):  # among them those of the tracker
                for index, each in enumerate(value):
                    if each is variable:
                        list.__setitem__(value, index, other)
            elif isinstance(value, dict) and key != "_modules":
                for name, each in list(value.items()):
                    if each is variable:
                        dict.__setitem__(value, name, other)
        for ids in part._tracker.stored_ids.values():
            if id(variable) in ids:
                ids.remove(id(variable))
                ids.add(id(other))


def functional_again(model: keras.Model, inputs: Any, outputs: Any) -> keras.Model:
    """A Functional model of the same class with another graph, on which its own constructor has not run."""
    again = keras.Layer.__new__(type(model))
    FUNCTIONAL.__init__(again, inputs, outputs, name=model.name)
    return again


def forget_parameters(layer: keras.Layer) -> None:
    """Makes torch ask the layer again for its parameters: it got more layers since it was built."""
    getattr(layer, "_modules", {}).pop("_torch_params", None)


def nodes_of(operation: Any) -> list[Any]:
    """The nodes of an operation, in whatever graphs it is used."""
    return list(operation._inbound_nodes)
