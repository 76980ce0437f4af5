"""`cost`: parameters, multiply-accumulates and memory of activations of a model and each of its layers."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.costs.activation_memory import peak_bytes, tensor_bytes
from keras_prune.costs.counting import Costs, item_size, total
from keras_prune.expansion.follow import follow
from keras_prune.expansion.report import lines_of
from keras_prune.masking.checks import check_built
from keras_prune.masking.masked_weights import inner_layer, plain_weights, walk_layers
from keras_prune.masking.wrapping import without_masks
from keras_prune.reporting.numbers import number
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.products import Use, Work
from tflite_export.reporting import Bars, Report, Shown, Table


@dataclasses.dataclass(frozen=True)
class LayerCost(Shown):
    """Cost of one layer, or of one operation of `keras.ops`.

    Args:
        name: Its path: `"conv1"`, or `"encoder/conv1"` in a nested model.
        kind: Name of its class.
        output_shape: Shape of its output, of the first one if there are several, with None for the batch; None if it is
            unknown. Of a layer that is used more than once that of its first use.
        parameters: Number of its weights, biases and statistics included.
        macs: Multiply-accumulates for one sample, of all its uses together; None if they are unknown.
        effective_macs: Multiply-accumulates with a weight that is not zero; products of activations count in full.
        activation_bytes: Memory of its outputs for one sample, of all its uses together; None if it is unknown.
        uses: How often the model calls it. Defaults to 1.
    """

    name: str
    kind: str
    output_shape: tuple[int | None, ...] | None
    parameters: int
    macs: int | None
    effective_macs: int | None
    activation_bytes: int | None
    uses: int = 1


@dataclasses.dataclass(frozen=True)
class ModelCost(Report):
    """Cost of a model, layer by layer. Its `str` is a table.

    Args:
        model: Name of the model.
        layers: Each layer, in the order of computation.
        parameters: Number of weights, as `model.count_params()` gives it, masks not counted.
        weight_bytes: Bytes of the weights, as they are stored.
        peak_activation_bytes: The most memory that activations of one sample take at a time, if one operation runs
            after the other in the order of the graph, and a tensor lives from the operation that makes it to the last
            one that reads it. Each output is counted as memory of its own, though a runtime may let a reshape or an
            activation share that of its input. None if it is unknown.
        unknown: Why the MACs of a layer are unknown, by its path.
        expanded: If the model was first written out as a graph, what became of its custom layers, a line each. Defaults
            to none.
    """

    model: str
    layers: tuple[LayerCost, ...]
    parameters: int
    weight_bytes: int
    peak_activation_bytes: int | None
    unknown: Mapping[str, str]
    expanded: tuple[str, ...] = ()

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one sample; None if those of some layer are unknown."""
        return total([layer.macs for layer in self.layers])

    @property
    def effective_macs(self) -> int | None:
        """Multiply-accumulates with a weight that is not zero, likewise; what kernels for sparse weights compute."""
        return total([layer.effective_macs for layer in self.layers])

    @property
    def known_macs(self) -> int:
        """Multiply-accumulates of the layers of which they are known."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def activation_bytes(self) -> int | None:
        """Memory of all outputs of all layers for one sample; None if a size is unknown."""
        return total([layer.activation_bytes for layer in self.layers])

    def _tables(self) -> list[Table]:
        headings = ("Layer", "Kind", "Output", "Parameters", "MACs", "Effective MACs", "Activation bytes")
        rows = [
            (
                layer.name + (f" (used {layer.uses} times)" if layer.uses > 1 else ""),
                layer.kind,
                "?" if layer.output_shape is None else str(layer.output_shape),
                *map(number, (layer.parameters, layer.macs, layer.effective_macs, layer.activation_bytes)),
            )
            for layer in self.layers
        ]
        totals = self.parameters, self.macs, self.effective_macs, self.activation_bytes
        return [
            Table(
                headings, rows, f"Cost of '{self.model}', one sample", [("Whole model", "", "", *map(number, totals))]
            )
        ]

    def _notes(self) -> list[str]:
        lines = [f"  {path}: {reason}" for path, reason in self.unknown.items()]
        return [
            f"Weights: {self.weight_bytes:,} bytes",
            f"Peak of activations: {_bytes(self.peak_activation_bytes)}",
            *([f"MACs unknown for the following, {self.known_macs:,} for the others:", *lines] if lines else []),
            *self.expanded,
        ]

    def _rows(self) -> Sequence[LayerCost]:
        return self.layers

    def _facts(self) -> Mapping[str, Any]:
        names = ("macs", "effective_macs", "known_macs", "activation_bytes")
        return {**super()._facts(), **{name: getattr(self, name) for name in names}}

    def _bars(self) -> Bars:
        title = f"Cost of '{self.model}'"
        layers = [layer for layer in self.layers if layer.parameters or layer.macs]
        names, macs = [layer.name for layer in layers], [layer.macs for layer in layers]
        if not any(macs):
            return Bars(title, "parameters", names, {"Parameters": [layer.parameters for layer in layers]})
        effective = [layer.effective_macs for layer in layers]
        series = {"MACs": macs} if macs == effective else {"MACs": macs, "Effective MACs": effective}
        return Bars(title, "multiply-accumulates of one sample", names, series)


def cost(model: keras.Model) -> ModelCost:
    """Count parameters, multiply-accumulates (MACs) and memory of activations of a model, layer by layer.

    MACs are the products of one forward pass of one sample that a weight or a product of activations takes part in: of
    dense layers, convolutions, recurrent layers and attention. Biases, normalisation, activation functions, pooling and
    lookups are not counted, as is usual. The rules of `prune_channels` say what an operation multiplies; for a custom
    layer `register_rule` tells them (`call.multiply`). Where nothing does, the MACs of the layer are None, and so are
    the model's: `unknown` says why, `known_macs` sums up the others.

    A subclassed model, or a custom layer, is first written out as a graph (see `expand`). Where that is not possible,
    only the parameters of its layers are known.

    Args:
        model: A built model, with masks or without. It is only read.

    Returns:
        A `ModelCost`; print it for a table, `plot` it for bars.

    Raises:
        TypeError: `model` is no Keras model.
        ValueError: The model is not built.

    Example:

    ```python
    report = cost(model)
    print(report)
    report.macs  # 8 * 6 + 6 * 2 = 60
    cost(prune_weights(model, 0.5)).effective_macs  # 30
    ```
    """
    check_built(model)
    try:
        found = follow(without_masks(model))
    except ValueError as error:
        return _without_graph(model, str(error))
    plain = found.model
    products = _Products(Costs(plain.weights, (), found.uses), len(found.found.atoms))
    uses: dict[int, list[Use]] = {}
    for use in found.uses:
        uses.setdefault(id(use.node.operation), []).append(use)
    return ModelCost(
        model=model.name,
        layers=tuple(_layer(own, products) for own in uses.values()),
        parameters=products.costs.parameters(products.all),
        weight_bytes=products.costs.bytes(products.all),
        peak_activation_bytes=peak_bytes(found.structure),
        unknown=products.costs.unknown,
        expanded=lines_of(plain),
    )


class _Products:
    """Counts the products of a whole model.

    Args:
        costs: What counts them.
        atoms: The number of the model's channels.
    """

    def __init__(self, costs: Costs, atoms: int):
        self.all = Kept(np.ones(atoms, dtype=bool))
        self.costs = costs
        self._nonzeros: dict[int, int] = {}

    def macs(self, uses: Sequence[Use]) -> int:
        return sum(self._of(work) for use in uses for work in use.work)

    def effective(self, uses: Sequence[Use]) -> int:
        """Products with a weight that is not zero."""
        return sum(
            self._of(work) if work.weight is None else self._of(work) // _size(work.weight) * self._count(work.weight)
            for use in uses
            for work in use.work
        )

    def _of(self, work: Work) -> int:
        return self.costs.macs_of(work, self.all) or 0

    def _count(self, weight: keras.Variable) -> int:
        if id(weight) not in self._nonzeros:
            self._nonzeros[id(weight)] = int(np.count_nonzero(_keras.as_numpy(weight)))
        return self._nonzeros[id(weight)]


def _layer(uses: Sequence[Use], products: _Products) -> LayerCost:
    node = uses[0].node
    known = not any(use.unknown for use in uses)
    return LayerCost(
        name=uses[0].path,
        kind=type(node.operation).__name__,
        output_shape=tuple(node.outputs[0].shape) if node.outputs else None,
        parameters=sum(_size(weight) for weight in getattr(node.operation, "weights", ())),
        macs=products.macs(uses) if known else None,
        effective_macs=products.effective(uses) if known else None,
        activation_bytes=total([tensor_bytes(tensor) for use in uses for tensor in use.node.outputs]),
        uses=len(uses),
    )


def _without_graph(model: keras.Model, reason: str) -> ModelCost:
    """The cost of a model that does not say what it computes, as far as it is known."""
    weights = plain_weights(model)
    known = {id(weight) for weight in weights}
    layers = [
        LayerCost(
            name=path,
            kind=type(inner_layer(layer)).__name__,
            output_shape=None,
            parameters=sum(_size(weight) for weight in layer.weights if id(weight) in known),
            macs=None,
            effective_macs=None,
            activation_bytes=None,
        )
        for path, layer in walk_layers(model)
    ]
    return ModelCost(
        model=model.name,
        layers=tuple(layers),
        parameters=sum(map(_size, weights)),
        weight_bytes=sum(_size(weight) * item_size(weight.dtype) for weight in weights),
        peak_activation_bytes=None,
        unknown={model.name: reason},
    )


def _size(weight: keras.Variable) -> int:
    return math.prod(weight.shape)


def _bytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,} bytes"
