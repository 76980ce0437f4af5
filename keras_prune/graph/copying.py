"""Copies of models with some layers replaced: new layers, new variables, the same state.

Keras's `clone_model` copies the compile settings (and fails on those that it cannot serialise), keeps the old input
shapes of nested models and knows nothing of weights, so the graph is copied here.
"""

import tempfile
import types
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from keras_prune import _keras

Replace = Callable[[str, keras.Layer], keras.Layer]


class Changes(Protocol):
    """Which uses of operations (nodes of a graph, see `_keras.graph_nodes`) a copy leaves out or changes."""

    def is_live(self, node: Any) -> bool:
        """Whether the copy has the node."""

    def call(self, node: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """What to call in place of the operation, which `make` returns."""


def copy_layer(layer: keras.Layer, changes: Mapping[str, Any] | None = None) -> keras.Layer:
    """A new layer with the same configuration, not yet built.

    Args:
        layer: The layer.
        changes: Entries of the configuration that shall differ.

    Raises:
        ValueError: The layer's class cannot be made from its configuration.
    """
    if isinstance(layer, keras.layers.Lambda):
        return _keras.copy_lambda(layer)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*lambda.*")  # that it could not be loaded: it is not saved
            config = layer.get_config()
        # Functions, such as an activation of the user's, are passed on as they are: only some can be found by name.
        functions = {key: getattr(layer, key, None) for key in config}
        config |= {key: value for key, value in functions.items() if isinstance(value, types.FunctionType)}
        return type(layer).from_config(config | dict(changes or {}))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"Cannot copy layer '{layer.name}': its class must implement `get_config` (and `from_config`, if its "
            f"arguments are no plain values). Received: a layer of class {type(layer).__name__} ({error})"
        ) from error


class Owners:
    """Which layer holds each weight, where only one may.

    Args:
        rule: What two that hold the same weight break. By default that copies of them would not share it.
    """

    def __init__(
        self,
        rule: str = "A weight must belong to one layer of the graph: copies of two would no longer share it. Call one "
        "layer twice instead.",
    ) -> None:
        self._rule = rule
        self._paths: dict[int, str] = {}

    def add(self, path: str, weights: Iterable[keras.Variable]) -> None:
        """Notes the weights of the layer at `path`.

        Raises:
            ValueError: Another layer holds one of them too.
        """
        for weight in weights:
            owner = self._paths.setdefault(id(weight), path)
            if owner != path:
                raise ValueError(f"{self._rule} Received: '{weight.path}', which '{owner}' and '{path}' hold")


def _values(variable: keras.Variable) -> np.ndarray:
    # A copy: on JAX a shared array would be donated, and lost, by training one.
    return np.array(ops.convert_to_numpy(variable.value))


def copy_state(source: keras.Layer, target: keras.Layer) -> None:
    """Gives `target`, a built copy of `source`, the same variables, seeds, vocabularies and trainable flags."""
    copy_variables(source, target)
    copy_learnt(source, target)


def copy_variables(
    source: keras.Layer, target: keras.Layer, values: Callable[[keras.Variable], np.ndarray] = _values
) -> None:
    """Gives the variables of `target`, a built copy of `source`, their values and trainable flags.

    They are spread over devices like the original's, whatever their names are in a `LayoutMap`.

    Args:
        source: The original layer.
        target: Its copy.
        values: What the copy of a variable gets: by default what the variable holds.
    """
    for old, new in zip(source.variables, target.variables, strict=True):
        _keras.spread_like(new, old)
        _keras.set_value(new, values(old))
    for old_layer, new_layer in _parts(source, target):
        if new_layer.trainable != old_layer.trainable:
            new_layer.trainable = old_layer.trainable


def copy_learnt(source: keras.Layer, target: keras.Layer) -> None:
    """Gives `target` what `source` learnt besides its variables, or out of them, as preprocessing layers do."""
    for old, new in _parts(source, target):
        if hasattr(old, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                old.save_assets(folder)
                new.load_assets(folder)
        if hasattr(old, "finalize_state"):
            new.finalize_state()


def _parts(source: keras.Layer, target: keras.Layer) -> Iterable[tuple[keras.Layer, keras.Layer]]:
    """Each layer in `source`, itself included, and its copy."""
    return zip(_keras.flatten(source), _keras.flatten(target), strict=True)


def copy_model(model: keras.Model, replace: Replace, changes: Changes | None = None) -> keras.Model:
    """Copies a Sequential or Functional model, models inside it included, with `replace(path, layer)` for each layer.

    Args:
        model: A built model. It is not changed.
        replace: Returns a new layer for a layer of the model, to be called as the old one was; it may be unbuilt.
        changes: What is called otherwise, or not at all.

    Returns:
        A new model of the same class, inputs, outputs and names, not compiled. Its variables are fresh.

    Raises:
        ValueError: Two layers hold the same weight.
    """
    return _Copier(replace, changes).model(model, "")


class _Copier:
    """Remembers what it copied: a layer used twice, here or in two models inside, stays one layer."""

    def __init__(self, replace: Replace, changes: Changes | None):
        self._replace = replace
        self._changes = changes
        self._copies: dict[int, Any] = {}
        self._owners = Owners()

    def model(self, model: keras.Model, prefix: str) -> keras.Model:
        if isinstance(model, keras.Sequential):
            inputs = [_keras.copy_input(tensor) for tensor in model.inputs]
            layers = [self._operation(layer, prefix) for layer in self._live_layers(model)]
            copy = type(model)([*inputs, *layers], name=model.name)
        else:
            inputs = keras.tree.map_structure(_keras.copy_input, model.input)
            outputs = _keras.run_graph(model, inputs, self._call(model, prefix))
            copy = type(model)(inputs, outputs, name=model.name)
        if not model.trainable:  # reaches every layer in it, so only when it says something
            copy.trainable = False
        return copy

    def _live_layers(self, model: keras.Sequential) -> list[keras.Layer]:
        if self._changes is None:
            return model.layers
        live = {id(node.operation) for node in _keras.graph_nodes(model) if self._changes.is_live(node)}
        return [layer for layer in model.layers if id(layer) in live]

    def _call(self, model: keras.Model, prefix: str) -> Callable[[Any], Callable[..., Any]]:
        """What `run_graph` calls for each operation."""
        changes = self._changes
        if changes is None:
            return lambda operation: self._operation(operation, prefix)
        nodes = iter(_keras.graph_nodes(model))
        return lambda operation: changes.call(next(nodes), lambda: self._operation(operation, prefix))

    def _operation(self, operation: Any, prefix: str) -> Any:
        if id(operation) not in self._copies:
            self._copies[id(operation)] = self._copy(operation, prefix)
        return self._copies[id(operation)]

    def _copy(self, operation: Any, prefix: str) -> Any:
        path = f"{prefix}{operation.name}"
        if _keras.is_graph(operation):
            return self.model(operation, f"{path}/")
        if isinstance(operation, keras.Layer):
            self._owners.add(path, operation.weights)
            return self._replace(path, operation)
        return _keras.copy_operation(operation)
