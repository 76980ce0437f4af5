"""`summary`: which weights of a model are pruned, which are not, and why."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune.masking.holders import own_weights
from keras_prune.masking.masked_weights import MaskedWeight, find_masked, inner_layer, plain_weights, walk_layers
from keras_prune.masking.prunable import Prunable
from keras_prune.masking.unpruned import is_unpruned
from keras_prune.masking.wrapper import ATTRIBUTE
from keras_prune.plots.sparsity import plot_sparsity
from keras_prune.validation import check_layer
from tflite_export.reporting import Report, Shown, Table


@dataclasses.dataclass(frozen=True)
class WeightSparsity(Shown):
    """Prunable weight array of a model.

    Args:
        layer: Path of the layer: `"encoder/conv1"`.
        name: Name of the weight in its layer: `"kernel"`.
        shape: Its shape.
        size: Number of its entries.
        zeros: How many of them are zero.
        masked: Whether it has a mask.
        distinct: How many different values it has, zero among them, if its entries share values. Defaults to None: they
            do not.
        come_back: How many of its entries are not zero though its mask prunes them, as a loop updated them that does
            not apply masks. `apply_masks` and `strip_pruning` set them to zero. Defaults to 0.
    """

    layer: str
    name: str
    shape: tuple[int, ...]
    size: int
    zeros: int
    masked: bool
    distinct: int | None = None
    come_back: int = 0

    @property
    def bits(self) -> int | None:
        """Bits of the index of an entry into the shared values, if its entries share values; the values are not in
        it."""
        return None if self.distinct is None else max(self.distinct - 1, 1).bit_length()

    @property
    def sparsity(self) -> float:
        """Fraction of the entries that is zero."""
        return self.zeros / self.size


@dataclasses.dataclass(frozen=True)
class LayerSparsity(Shown):
    """Layer of a model.

    Args:
        name: Path of the layer: `"encoder/conv1"`.
        kind: Name of its class.
        weights: Its prunable weights. One that several layers hold is listed once: at the layer that has its mask, or
            else the first.
        parameters: Number of all its parameters, masks and those that an earlier layer holds too not counted.
        zeros: How many of them are zero.
        masked: Whether it has masks.
        reason: If it has no masks, why.
    """

    name: str
    kind: str
    weights: tuple[WeightSparsity, ...]
    parameters: int
    zeros: int
    masked: bool
    reason: str


@dataclasses.dataclass(frozen=True)
class SparsitySummary(Report):
    """Sparsity of a model: what `summary` returns. Its `str` is a table.

    Args:
        model: Name of the model.
        layers: Every layer, in the model's order.
        missed: What was asked for and not reached: a sentence, if no mask prunes anything yet. Defaults to none.
    """

    model: str
    layers: tuple[LayerSparsity, ...]
    missed: tuple[str, ...] = ()

    @property
    def masked(self) -> tuple[LayerSparsity, ...]:
        """The layers with masks."""
        return tuple(layer for layer in self.layers if layer.masked)

    @property
    def skipped(self) -> tuple[LayerSparsity, ...]:
        """The layers without masks; `reason` says why."""
        return tuple(layer for layer in self.layers if not layer.masked)

    @property
    def prunable(self) -> int:
        """Number of prunable weights, masked or not."""
        return sum(weight.size for layer in self.layers for weight in layer.weights)

    @property
    def prunable_zeros(self) -> int:
        """Number of prunable weights that are zero."""
        return sum(weight.zeros for layer in self.layers for weight in layer.weights)

    @property
    def prunable_sparsity(self) -> float:
        """Fraction of the prunable weights that is zero; 0 if there are none."""
        return self.prunable_zeros / self.prunable if self.prunable else 0.0

    @property
    def parameters(self) -> int:
        """Number of all parameters of the model, masks not counted."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def zeros(self) -> int:
        """Number of all parameters that are zero."""
        return sum(layer.zeros for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """Fraction of all parameters that is zero; 0 if there are none."""
        return self.zeros / self.parameters if self.parameters else 0.0

    def plot(self, ax: Any = None) -> Any:
        """Draw the sparsity of each weight: see `keras_prune.plots.plot_sparsity`."""
        return plot_sparsity(self, ax)

    def _tables(self) -> Sequence[Table]:
        rows: list[tuple[str, ...]] = []
        for layer in self.layers:
            mask = "yes" if layer.masked else f"no: {layer.reason}"
            if not layer.weights:
                rows.append((layer.name, layer.kind, "", "", "", "", "", mask))
            for weight in layer.weights:
                numbers = _numbers(weight.size, weight.zeros, weight.sparsity)
                shared = "" if weight.bits is None else f"; {weight.distinct} values, {weight.bits} bits"
                lost = f"; {weight.come_back:,} pruned weights came back: see apply_masks" if weight.come_back else ""
                rows.append((layer.name, layer.kind, weight.name, str(weight.shape), *numbers, mask + shared + lost))
        prunable = _numbers(self.prunable, self.prunable_zeros, self.prunable_sparsity)
        whole = _numbers(self.parameters, self.zeros, self.sparsity)
        totals = [("Prunable weights", "", "", "", *prunable, ""), ("Whole model", "", "", "", *whole, "")]
        headings = ("Layer", "Class", "Weight", "Shape", "Weights", "Zeros", "Sparsity", "Mask")
        return [Table(headings, rows, f"Sparsity of '{self.model}'", totals)]

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        """A record for each prunable weight array, and for each layer that has none."""
        found = []
        names = ("shape", "size", "zeros", "sparsity", "distinct", "come_back")
        for layer in self.layers:
            about = {"layer": layer.name, "kind": layer.kind, "masked": layer.masked, "reason": layer.reason}
            for weight in layer.weights:
                values = {name: getattr(weight, name) for name in names}
                found.append({**about, "weight": weight.name, **values})
            if not layer.weights:
                found.append({**about, **dict.fromkeys(("weight", *names))})
        return found

    def _facts(self) -> Mapping[str, Any]:
        names = (
            "model",
            "prunable",
            "prunable_zeros",
            "prunable_sparsity",
            "parameters",
            "zeros",
            "sparsity",
            "missed",
        )
        return {name: getattr(self, name) for name in names}


def _numbers(size: int, zeros: int, sparsity: float) -> tuple[str, str, str]:
    """The three cells of numbers."""
    return f"{size:,}", f"{zeros:,}", f"{sparsity:.2%}"


def summary(model: keras.Layer) -> SparsitySummary:
    """Return the sparsity of a model, layer by layer and in all; after `cluster_weights`, the shared values too.

    Args:
        model: Built model or layer, with masks or without. It is only read.

    Returns:
        A `SparsitySummary`: print it for a table.

    Raises:
        TypeError: `model` is no model or layer.
        ValueError: The model is not built.

    Example:

    ```python
    report = summary(prune_weights(model, 0.5))
    print(report)
    report.prunable_sparsity  # 0.5
    ```
    """
    check_layer(model)
    if not model.built:
        raise ValueError(f"An unbuilt model has no weights to count. Received: '{model.name}', not built")
    layers = walk_layers(model) if isinstance(model, keras.Model) else [(model.name, model)]
    seen: set[int] = set()
    missed = ("No mask prunes anything yet.",) if is_unpruned(model) else ()
    return SparsitySummary(model.name, tuple(_layer(*own, seen) for own in own_weights(layers)), missed)


def _layer(path: str, layer: keras.Layer, prunable: Prunable, seen: set[int]) -> LayerSparsity:
    """The sparsity of one layer, whose masks are no parameters; what was `seen` in a layer before it is left out."""
    inner = inner_layer(layer)
    masked = {id(each.weight): each for each in find_masked(layer)}
    weights = tuple(
        WeightSparsity(
            path,
            name,
            tuple(weight.shape),
            math.prod(weight.shape),
            _zeros(weight),
            bool(masked),
            _distinct(masked.get(id(weight))),
            masked[id(weight)].come_back() if id(weight) in masked else 0,
        )
        for name, weight in (prunable.weights | {each.name: each.weight for each in masked.values()}).items()
    )
    own = [weight for weight in plain_weights(inner) if id(weight) not in seen]
    seen |= {id(weight) for weight in own}
    return LayerSparsity(
        name=path,
        kind=type(inner).__name__,
        weights=weights,
        parameters=sum(math.prod(weight.shape) for weight in own),
        zeros=sum(_zeros(weight) for weight in own),
        masked=hasattr(layer, ATTRIBUTE),
        reason="" if hasattr(layer, ATTRIBUTE) else _reason(prunable),
    )


def _reason(prunable: Prunable) -> str:
    """Why a layer has no masks."""
    return prunable.reason or "not wrapped"


def _distinct(weight: MaskedWeight | None) -> int | None:
    """The number of shared values of a weight; None if it has none."""
    if weight is None or weight.shared is None:
        return None
    return np.unique(ops.convert_to_numpy(weight.weight.value)).size


def _zeros(weight: keras.Variable) -> int:
    """The number of entries that are zero."""
    values = ops.convert_to_numpy(weight.value)
    return values.size - int(np.count_nonzero(values))
