"""What each weight of a model costs: so that zeros can be counted before they are there."""

import dataclasses
import math
from collections.abc import Mapping

import keras
import numpy as np

from keras_prune.costs.counting import costs_of_trace, item_size
from keras_prune.expansion.follow import follow
from keras_prune.expansion.report import weights_of
from keras_prune.tracing.kept_channels import Kept


@dataclasses.dataclass(frozen=True, eq=False)
class WeightCosts:
    """What a model costs, and what each of its weights is of that, by the names that budgets use.

    Args:
        whole: What the model costs; None for multiply-accumulates that are unknown.
        parts: What each of its weights costs, by the `id` of the variable.
        unknown: Why the multiply-accumulates of an operation are unknown, by its path.
    """

    whole: Mapping[str, int | None]
    parts: Mapping[int, Mapping[str, int]]
    unknown: Mapping[str, str]

    @classmethod
    def of(cls, model: keras.Model) -> "WeightCosts":
        """The costs of a built model without masks; a subclassed one is written out first, if it can be."""
        weights = model.weights
        parts = {
            id(each): {"params": math.prod(each.shape), "weight_bytes": math.prod(each.shape) * item_size(each.dtype)}
            for each in weights
        }
        unknown, products = _products(model)
        whole: dict[str, int | None] = {
            name: sum(part[name] for part in parts.values()) for name in ("params", "weight_bytes")
        }
        whole["macs"] = None if unknown else products.pop(None, 0) + sum(products.values())
        for weight in weights:
            parts[id(weight)]["macs"] = products.get(id(weight), 0)
        return cls(whole, parts, unknown)


def _products(model: keras.Model) -> tuple[Mapping[str, str], dict[int | None, int]]:
    """Why products are unknown, by path, and how many there are with each weight; under None those of activations."""
    try:
        found = follow(model)
    except ValueError as error:
        return {model.name: str(error)}, {}
    costs = costs_of_trace(found)
    twins = {id(twin): id(own) for own, twin in zip(model.weights, weights_of(found.model), strict=True)}
    everything = Kept(np.ones(len(found.found.atoms), dtype=bool))
    products: dict[int | None, int] = {}
    for use in found.uses:
        for work in use.work:
            key = None if work.weight is None else twins.get(id(work.weight))
            products[key] = products.get(key, 0) + (costs.macs_of(work, everything) or 0)
    return costs.unknown, products
