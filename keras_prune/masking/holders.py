"""Prunable weights, each once: of several layers that hold a weight (tied weights) one is its owner."""

from collections.abc import Iterable

import keras

from keras_prune import _keras
from keras_prune.graph.structure import Structure
from keras_prune.masking.masked_weights import inner_layer, walk_layers
from keras_prune.masking.prunable import Prunable, find_prunable
from keras_prune.masking.pruning_masks import ATTRIBUTE, Places
from keras_prune.patterns import Predicate

Owned = tuple[str, keras.Layer, Prunable]
"""The path of a layer, the layer, and the prunable weights that it owns."""


def graph_layers(model: keras.Model) -> list[tuple[str, keras.Layer]]:
    """The paths and layers of a Sequential or Functional model that its graph computes with, which copies replace."""
    if not _keras.has_graph(model):
        return list(walk_layers(model))
    used = {id(node.operation) for graph in Structure(model).graphs for node in graph.nodes}
    return [(path, layer) for path, layer in walk_layers(model) if id(layer) in used]


def new_masks(layers: Iterable[tuple[str, keras.Layer]], chosen: Predicate) -> dict[int, Places]:
    """Which weights get masks, by the `id` of the layer that holds each mask: the first chosen one with the weight.

    Args:
        layers: Paths and built layers, as `walk_layers` yields them. Weights that have masks, and layers that have
            some, get no others.
        chosen: Which layers were chosen.
    """
    layers = list(layers)
    masked = [layer for _, layer in layers if hasattr(layer, ATTRIBUTE)]
    taken = {id(row.held.weight) for layer in masked for row in layer.pruning_masks.rows if row.held.is_alive}
    found: dict[int, Places] = {}
    for path, layer in layers:
        if hasattr(layer, ATTRIBUTE) or not chosen(path, layer):
            continue
        held = {name: each for name, each in find_prunable(layer).held.items() if id(each.weight) not in taken}
        taken |= {id(each.weight) for each in held.values()}
        if held:
            found[id(layer)] = {name: each.place(layer) for name, each in held.items()}
    return found


def own_weights(layers: Iterable[tuple[str, keras.Layer]]) -> list[Owned]:
    """The prunable weights of layers, each with its owner: the layer that has its mask, else the first that holds it.

    Args:
        layers: Paths and built layers, as `walk_layers` yields them.
    """
    layers = list(layers)
    owners: dict[int, tuple[str, keras.Layer]] = {}
    for path, layer in layers:
        for row in layer.pruning_masks.rows if hasattr(layer, ATTRIBUTE) else ():
            if row.held.is_alive:
                owners[id(row.held.weight)] = path, layer
    found: list[Owned] = []
    for path, layer in layers:
        prunable = find_prunable(inner_layer(layer))
        for weight in prunable.weights.values():
            owners.setdefault(id(weight), (path, layer))
        own = {name: held for name, held in prunable.held.items() if owners[id(held.weight)][1] is layer}
        others = dict.fromkeys(f"'{owners[id(held.weight)][0]}'" for held in prunable.held.values())
        reason = prunable.reason if own or not prunable.held else f"its weights are those of {', '.join(others)}"
        found.append((path, layer, Prunable(own, reason)))
    return found
