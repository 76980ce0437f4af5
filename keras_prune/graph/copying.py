"""Copies of models with some layers replaced or changed: new layers, new variables, the same state.

Keras's `clone_model` copies the compile settings (and fails on those that it cannot serialise), keeps the old input
shapes of nested models and knows nothing of weights, so the graph is copied here. `Copier` goes through the graphs;
its methods say what each part becomes. Copies with masks or without (`copy_model`), with fewer layers, with fewer
channels, and without models inside are its subclasses.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.graph.configurations import reconfigure
from keras_prune.graph.duplicate import Duplicates, duplicate, duplicator
from keras_prune.graph.owners import Owners
from keras_prune.graph.structure import Graph
from tflite_export.scratch import temporary_folder

Replace = Callable[[str, keras.Layer, "LayerCopies"], keras.Layer]
_OF_TRAINING = {"optimizer", "stop_training", "history"}  # attributes that a model gets when it is compiled and trained


class Changes(Protocol):
    """Which nodes of the graphs (see `graph.structure`) a copy leaves out or changes."""

    def is_live(self, node: Any) -> bool:
        """Whether the copy has the node."""

    def call(self, node: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """What to call in place of the operation, whose copy `make` returns."""


def copy_layer(layer: keras.Layer) -> keras.Layer:
    """Return a new layer that is as this one is: what it holds, with new variables of the same values.

    Where something that it holds cannot be copied, it is made from its configuration and not yet built.

    Args:
        layer: The layer.

    Raises:
        ValueError: The layer's class cannot be made from its configuration either.
    """
    try:
        return duplicate(layer)
    except ValueError:
        return reconfigure(layer, {})


class LayerCopies:
    """The copies of the layers of one model. A weight that two of them hold is one weight in the copies too.

    Args:
        model: The model.
    """

    def __init__(self, model: keras.Model):
        self._duplicates = Duplicates(model)
        self._owners = Owners()

    @property
    def parts(self) -> Mapping[int, Any]:
        """The copies of layers, and of what they hold, by the `id` of the original."""
        return self._duplicates.copies

    def copy(self, path: str, layer: keras.Layer) -> keras.Layer:
        """Return the copy of the layer at a path, as `copy_layer` does.

        Raises:
            ValueError: Its class cannot be made from its configuration, or the copy of another layer would no longer
                share a weight with it.
        """
        try:
            twin = self._duplicates.duplicate(layer)
        except ValueError:
            twin = reconfigure(layer, {})
            self._owners.add(path, layer.weights, together=False)
        else:
            self._owners.add(path, layer.weights, together=True)
        return twin


def _values(variable: keras.Variable) -> np.ndarray:
    # A copy: on JAX a shared array would be donated, and lost, by training one.
    return np.array(ops.convert_to_numpy(variable.value))


def copy_state(source: keras.Layer, target: keras.Layer) -> None:
    """Copy variables, seeds, vocabularies and trainable flags of `source` to `target`, its built copy."""
    copy_changes(source, target)
    copy_variables(source, target)
    copy_learnt(source, target)


def copy_changes(source: keras.Layer, target: keras.Layer) -> None:
    """Quantise the parts of `target`, a built copy of `source`, that are quantised there, and give them LoRA weights.

    Composite layers do not say so in their configuration.
    """
    for old, new in _parts(source, target):
        mode = getattr(old, "quantization_mode", None)
        if mode is not None and getattr(new, "quantization_mode", None) is None:
            new.quantize(mode)
        if getattr(old, "lora_enabled", False):
            if not new.lora_enabled:
                new.enable_lora(old.lora_rank)
            new.lora_alpha = old.lora_alpha  # which Keras 3.15 forgets


def copy_variables(
    source: keras.Layer, target: keras.Layer, values: Callable[[keras.Variable], np.ndarray] = _values
) -> None:
    """Set the variables and trainable flags of `target`, a built copy of `source`.

    They are spread over devices like the original's, whatever their names are in a `LayoutMap`.

    Args:
        source: The original layer.
        target: Its copy.
        values: Returns the value for the copy of a variable. Defaults to the value of the variable.
    """
    for old, new in zip(source.variables, target.variables, strict=True):
        _keras.spread_like(new, old)
        _keras.set_value(new, values(old))
    for old_layer, new_layer in _parts(source, target):
        if new_layer.trainable != old_layer.trainable:
            new_layer.trainable = old_layer.trainable


def copy_learnt(source: keras.Layer, target: keras.Layer) -> None:
    """Copy to `target` what `source` learnt besides its variables, or from them, as preprocessing layers do."""
    for old, new in _parts(source, target):
        if hasattr(old, "save_assets"):
            with temporary_folder("keras_prune_") as folder:
                old.save_assets(str(folder))
                new.load_assets(str(folder))
        if hasattr(old, "finalize_state"):
            new.finalize_state()


def _parts(source: keras.Layer, target: keras.Layer) -> Iterable[tuple[keras.Layer, keras.Layer]]:
    """Each layer in `source`, itself included, and its copy."""
    return zip(_keras.flatten(source), _keras.flatten(target), strict=True)


class Copier:
    """Copies Sequential and Functional models, models inside included: the base of all copies with changes.

    Override what shall differ: `layer`, `operation` and `model` (what each becomes), `shape` (of the inputs), `call`
    (what is called for a node), `is_live` (whether the copy has it), `finished` (a check of a copied model). Copies are
    remembered: a layer that is used twice, here or in two models inside, stays one layer. `copies` makes those of
    layers.

    Args:
        model: The outermost model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._copies: dict[int, Any] = {}
        self.copies = LayerCopies(model)

    # What subclasses change.

    def layer(self, path: str, layer: keras.Layer) -> keras.Layer:
        """The copy of a layer, built or not, to be called as the layer is."""
        raise NotImplementedError

    def operation(self, operation: Any) -> Any:
        """The copy of an operation of `keras.ops`. Defaults to one of the same settings."""
        return _keras.copy_operation(operation)

    def shape(self, tensor: Any) -> Sequence[int | None]:
        """The shape that the copy of an input has. Defaults to that of the input."""
        return tensor.shape

    def is_live(self, node: Any) -> bool:
        """Whether the copy of a Sequential model has the node. Defaults to True."""
        return True

    def call(self, node: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """What to call for a node of a Functional model. Defaults to what `make` returns: the copy of its operation."""
        return make()

    def finished(self, model: keras.Model, copy: keras.Model) -> None:
        """Called once for each model that was copied, those inside first. Defaults to nothing."""

    # What they use.

    def model(self, model: keras.Model, prefix: str = "") -> Any:
        """The copy of a model: of the same class, inputs, outputs and names, not compiled.

        Args:
            model: The model.
            prefix: What the paths of its layers begin with. Defaults to "", as of the outermost.
        """
        if isinstance(model, keras.Sequential):
            inputs = [self.input(tensor) for tensor in model.inputs]
            layers = [self.copy(layer, prefix) for layer in self._live_layers(model)]
            copy = type(model)([*inputs, *layers], name=model.name)
        else:
            inputs = keras.tree.map_structure(self.input, model.input)
            copy = type(model)(inputs, self.run(model, inputs, prefix), name=model.name)
        self._copy_attributes(model, copy)
        if not model.trainable:  # reaches every layer in it, so only when it says something
            copy.trainable = False
        self.finished(model, copy)
        return copy

    def run(self, model: keras.Model, inputs: Any, prefix: str = "") -> Any:
        """The outputs of the copy of a model's graph on these symbolic inputs."""
        return _keras.run_graph(model, inputs, lambda node: self.call(node, lambda: self.copy(node.operation, prefix)))

    def input(self, tensor: Any) -> Any:
        """The copy of an input."""
        return _keras.copy_input(tensor, self.shape(tensor))

    def copy(self, operation: Any, prefix: str) -> Any:
        """The copy of a layer, operation or model inside, made when first asked for."""
        if id(operation) not in self._copies:
            self._copies[id(operation)] = self._copy(operation, f"{prefix}{operation.name}")
        return self._copies[id(operation)]

    def _copy(self, operation: Any, path: str) -> Any:
        if _keras.is_graph(operation):
            return self.model(operation, f"{path}/")
        return self.layer(path, operation) if isinstance(operation, keras.Layer) else self.operation(operation)

    def _copy_attributes(self, model: keras.Model, copy: keras.Model) -> None:
        """Gives the copy the attributes that the user's own class reads, in its `train_step` or `compute_loss`."""
        known, duplicate_of = _keras.attributes(copy), duplicator(model, {**self.copies.parts, **self._copies})
        with _keras.unlocked(copy):
            for name, value in _keras.attributes(model).items():
                plain = value is None or isinstance(value, bool | int | float | str)
                if name not in known and name not in _OF_TRAINING and (plain or not name.startswith("_")):
                    setattr(copy, name, duplicate_of(value))

    def _live_layers(self, model: keras.Sequential) -> list[keras.Layer]:
        dead = {id(node.operation) for node in Graph.of(model).nodes if not self.is_live(node)}
        return [layer for layer in model.layers if id(layer) not in dead]


def copy_model(model: keras.Model, replace: Replace, changes: Changes | None = None) -> keras.Model:
    """Copy a Sequential or Functional model, models inside it included, with `replace(path, layer, copies)` for each
    layer.

    Args:
        model: A built model. It is not changed.
        replace: Returns a new layer for a layer of the model, to be called as the old one was; it may be unbuilt. It
            copies layers with the `LayerCopies` that it is given.
        changes: What is called otherwise, or not at all. Defaults to None, no changes.

    Returns:
        A new model of the same class, inputs, outputs and names, not compiled. Its variables are fresh; layers that
        hold the same weight do so in the copy.

    Raises:
        ValueError: Two layers hold the same weight, and one of them can only be made from its configuration.
    """
    return (_Replacing(model, replace) if changes is None else _Changing(model, replace, changes)).model(model)


class _Replacing(Copier):
    """With other layers."""

    def __init__(self, model: keras.Model, replace: Replace):
        super().__init__(model)
        self._replace = replace

    def layer(self, path: str, layer: keras.Layer) -> keras.Layer:
        return self._replace(path, layer, self.copies)


class _Changing(_Replacing):
    """With other layers and calls."""

    def __init__(self, model: keras.Model, replace: Replace, changes: Changes):
        super().__init__(model, replace)
        self.is_live, self.call = changes.is_live, changes.call  # type: ignore[method-assign]
