"""`wrap_pruning` adds masks to a model, `strip_pruning` removes them."""

import dataclasses
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.copying import LayerCopies, copy_layer, copy_model, copy_state
from keras_prune.graph.duplicate import duplicate
from keras_prune.graph.same_outputs import check_copy
from keras_prune.masking.holders import graph_layers, new_masks, own_weights
from keras_prune.masking.masked_weights import (
    apply_masks,
    find_masked,
    inner_layer,
    walk_layers,
    warn_of_values_under_masks,
)
from keras_prune.masking.prunable import Held, find_prunable
from keras_prune.masking.pruned_model import drop_masks, keep_masks
from keras_prune.masking.unpruned import warn_if_unpruned
from keras_prune.masking.wrapper import ATTRIBUTE, PruningWrapper, attach_masks, detach_clusters, detach_masks
from keras_prune.patterns import Predicate, as_predicate, matches
from keras_prune.reporting.unmet import say
from keras_prune.validation import check_flag, check_layer


def wrap_pruning(model: keras.Layer, layers: Any = None, *, movement: bool = False) -> keras.Layer:
    """Return a model whose prunable weights have masks, which prune nothing yet: the outputs are the same to the bit.

    Sequential and Functional models, nested or not, are copied; the given model, its weights and its optimizer are left
    unchanged. The copy has the names of the original and is not compiled. A subclassed model cannot be copied: its
    layers get their masks in place, and the model itself is returned. `summary(model)` says which layers have masks,
    and why others have none, such as those that are quantised or have LoRA weights. A mask belongs to its weight: it
    holds under LoRA weights that are added later, and `quantize` keeps the zeros and removes the mask.

    Args:
        model: A built model, or a single layer, built or not.
        layers: Which layers get masks: a name pattern (`"conv*"`, `"encoder/*"`), a layer class, a function
            `layer -> bool`, or a list of these. Layers with masks keep them. A weight that several layers hold (tied
            weights) gets one mask, which the first of them that is chosen holds; all of them use the masked weight.
            Defaults to None: all layers with prunable weights.
        movement: Whether each training step adds up w·∂loss/∂w of every weight, which `importance="movement"` needs:
            one more variable for each, saved with the model. Defaults to False.

    Returns:
        A `keras.Model` (for a layer: the wrapped copy) that keeps masked weights at zero while it trains.

    Raises:
        ValueError: The model is not built, a pattern matches no layer (the message names the near misses), or two
            layers hold the same weight and one of them can only be made from its configuration.
        TypeError: `model` is no model or layer, or `layers` is of another type.

    Example:

    ```python
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="first"), keras.layers.Dense(2)])
    wrapped = wrap_pruning(model, layers="first")
    ```
    """
    wrapped = add_masks(model, layers, movement)
    if isinstance(model, keras.Model):
        _say_what_matched_nothing(wrapped, layers)
    return wrapped


def add_masks(model: keras.Layer, layers: Any = None, movement: bool = False) -> keras.Layer:
    """`wrap_pruning`, which says nothing where no layer has masks then."""
    _check_model(model)
    check_flag(movement, "movement")
    if not isinstance(model, keras.Model):
        return _wrap_layer(model, as_predicate(layers, [model.name]), movement)
    chosen = as_predicate(layers, [path for path, _ in walk_layers(model)])
    if not _keras.is_graph(model):
        walked = list(walk_layers(model))
        new = new_masks(walked, chosen)
        for _, layer in walked:
            if id(layer) in new:
                attach_masks(layer, movement, new[id(layer)])
        return keep_masks(model)
    new = new_masks(graph_layers(model), chosen)
    pairs: list[tuple[keras.Layer, keras.Layer]] = []

    def wrap(path: str, layer: keras.Layer, copies: LayerCopies) -> keras.Layer:
        copy = copies.copy(path, inner_layer(layer))
        if isinstance(layer, PruningWrapper):
            copy = layer.around(copy)
        pairs.append((layer, copy))
        places = new.get(id(layer))
        return copy if places is None else PruningWrapper(copy, movement=movement, weights=places)

    wrapped = copy_model(model, wrap)
    for layer, copy in pairs:  # the copies are built only now
        copy_state(layer, copy)
        check_copy(inner_layer(layer), inner_layer(copy), layer)
        if hasattr(layer, ATTRIBUTE):
            getattr(copy, ATTRIBUTE).decided = getattr(layer, ATTRIBUTE).decided
    return keep_masks(wrapped)


def strip_pruning(model: keras.Layer) -> keras.Layer:
    """Return a model of plain Keras layers, with the zeros and shared values in its weights: the outputs are the same.

    Sequential and Functional models are copied, as in `wrap_pruning`; the masks of a subclassed model are removed in
    place. Pruned weights that are not zero any more, since a custom loop updated them, become zero, with a warning.

    Args:
        model: A model from `wrap_pruning`, also one loaded from a file; a wrapped layer; or a model without masks.

    Returns:
        The plain model or layer, not compiled. It does not need this package.

    Warns if the masks prune nothing, and nobody asked for that: the model was not pruned yet.

    Raises:
        ValueError: The model is not built.
        TypeError: `model` is no model or layer.

    Example:

    ```python
    wrapped = prune_weights(model, 0.5)
    plain = strip_pruning(wrapped)
    ```
    """
    _check_model(model)
    warn_if_unpruned(model)
    warn_of_values_under_masks(model)
    return remove_masks(model)


def remove_masks(model: keras.Layer) -> keras.Layer:
    """`strip_pruning`, which says nothing of masks that prune nothing, or that were not applied."""
    _check_model(model)
    if not isinstance(model, keras.Model):
        return _strip_layer(model)
    if not _keras.is_graph(model):
        apply_masks(model)
        for _, layer in list(walk_layers(model)):
            if hasattr(layer, ATTRIBUTE):
                detach_clusters(layer)
                detach_masks(layer)
        return drop_masks(model)
    pairs: list[tuple[keras.Layer, keras.Layer]] = []

    def strip(path: str, layer: keras.Layer, copies: LayerCopies) -> keras.Layer:
        pairs.append((layer, copies.copy(path, inner_layer(layer))))
        return pairs[-1][1]

    plain = copy_model(model, strip)
    for layer, copy in pairs:
        copy_state(inner_layer(layer), copy)
        check_copy(inner_layer(layer), copy, layer)
    for layer, copy in pairs:  # once no other layer that holds the weight brings its pruned entries back
        _write_zeros(layer, copy)
    for part in _keras.flatten(plain):
        drop_masks(part)
    return plain


def without_masks(model: keras.Model) -> keras.Model:
    """The model itself, if it has no masks, else a copy without them: it is only read, also if it is subclassed.

    Raises:
        ValueError: A subclassed model that cannot be copied.
    """
    if not find_masked(model):
        return model
    return remove_masks(model if _keras.is_graph(model) else duplicate(model))


def stripped_for_export(model: keras.Model) -> keras.Model:
    """A copy of the model without masks, for `tflite_export`, which runs this before an export.

    A subclassed model cannot be copied, and stripping it in place would change the user's. It is exported as it is: its
    masked weights are zero, and its masks, which no call uses, do not reach the file.
    """
    if _keras.is_graph(model):
        return strip_pruning(model)
    warn_if_unpruned(model)
    warn_of_values_under_masks(model)
    apply_masks(model)
    return model


def prunable_paths(model: keras.Model) -> list[str]:
    """The paths of the layers that have masks; in a model without masks, of those that `wrap_pruning` would wrap.

    Raises:
        ValueError: There are none, or the model is not built.
        TypeError: `model` is no model or layer.
    """
    _check_model(model)
    layers = list(walk_layers(model)) if isinstance(model, keras.Model) else [(model.name, model)]
    paths = [path for path, layer in layers if hasattr(layer, ATTRIBUTE)]
    paths = paths or [path for path, _, own in own_weights(layers) if own.held]
    if not paths:
        raise ValueError(
            "The model has no weights that can be pruned; `summary(model)` says why, for each layer. "
            f"Received: the model '{model.name}'"
        )
    return paths


def _check_model(model: Any) -> None:
    check_layer(model)
    if isinstance(model, keras.Model) and not model.built:
        raise ValueError(
            "The model has no weights yet: call it on data, call `build`, or begin it with `keras.Input`. "
            f"Received: the unbuilt model '{model.name}'"
        )


def _say_what_matched_nothing(model: keras.Model, layers: Any) -> None:
    """Warns of patterns and classes that gave no layer a mask."""
    masked = [(path, layer) for path, layer in walk_layers(model) if hasattr(layer, ATTRIBUTE)]
    if not masked:
        say(
            f"No layer of '{model.name}' has masks: none that was chosen has weights that can be pruned. "
            f"`summary(model)` says why, for each layer. Received: layers={layers!r}"
        )
        return
    for choice in layers if isinstance(layers, list | tuple | set) else [layers]:
        if isinstance(choice, str):
            used = any(matches(choice, path) for path, _ in masked)
        else:  # a function may choose none, for a model that has masks
            used = not isinstance(choice, type) or any(isinstance(inner_layer(layer), choice) for _, layer in masked)
        if not used:
            say(
                "A part of `layers` gives no layer a mask: those that it matches have no weights that can be pruned, "
                f"as `summary(model)` says. Received: {choice!r}"
            )


def _wrap_layer(layer: keras.Layer, chosen: Predicate, movement: bool) -> keras.Layer:
    copy = copy_layer(inner_layer(layer))
    if isinstance(layer, PruningWrapper):
        copy = layer.around(copy)
        return _build_like(layer, copy, copy)
    nothing = layer.built and not find_prunable(layer).weights
    if nothing or not chosen(layer.name, layer):
        return _build_like(layer, copy, copy)
    return _build_like(layer, PruningWrapper(copy, movement=movement), copy)


def _strip_layer(layer: keras.Layer) -> keras.Layer:
    copy = copy_layer(inner_layer(layer))
    _build_like(inner_layer(layer), copy, copy)
    if layer.built:
        _write_zeros(layer, copy)
    return copy


def _build_like(layer: keras.Layer, outer: keras.Layer, copy: keras.Layer) -> keras.Layer:
    """Builds `outer`, which holds `copy` or is it, if `layer` is built, and moves the state of `layer` into `copy`."""
    if layer.built:
        if not outer.built:
            outer.build_from_config(layer.get_build_config())
        copy_state(layer, copy)
    return outer


def _write_zeros(layer: keras.Layer, copy: keras.Layer) -> None:
    """Writes the zeros and shared values of `layer` into `copy`, which may have drifted since the last step."""
    for original in find_masked(layer):
        held = Held.at(copy, original.held.place(inner_layer(layer)))
        dataclasses.replace(original, weight=held.weight, held=held).apply()
