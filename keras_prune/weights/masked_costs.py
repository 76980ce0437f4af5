"""What each masked weight of a model costs, all of it kept."""

from collections.abc import Mapping

import keras

from keras_prune.costs.by_weight import WeightCosts
from keras_prune.masking.masked_weights import find_masked, inner_layer, walk_layers
from keras_prune.masking.prunable import Held
from keras_prune.masking.wrapping import without_masks


def costs_of_masked(model: keras.Model, masked: keras.Model) -> tuple[WeightCosts, dict[int, Mapping[str, int]]]:
    """What a model costs, and each weight that has a mask in another one.

    Args:
        model: The model, with masks or without. It is only read.
        masked: A copy of it, with masks.

    Returns:
        The costs of the model, and those of each masked weight by the `id` of its mask.
    """
    plain = without_masks(model)
    costs = WeightCosts.of(plain)
    own, others = dict(walk_layers(masked)), dict(walk_layers(plain))
    parts = {}
    for weight in find_masked(masked):
        place = weight.held.place(inner_layer(own[weight.layer]))
        twin = Held.at(inner_layer(others[weight.layer]), place)
        parts[id(weight.mask)] = costs.parts[id(twin.weight)]
    return costs, parts
