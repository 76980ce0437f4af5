"""`Expansion`: what became of each custom layer of a model that was written out."""

import dataclasses
import weakref
from typing import Any

import keras

from keras_prune.expansion.names import SEPARATOR
from keras_prune.expansion.parts import is_leaf
from keras_prune.expansion.traced import Traced
from keras_prune.expansion.tracer import Tracer
from tflite_export.reporting import Bars, Report, Shown, Table


@dataclasses.dataclass(frozen=True)
class ExpandedLayer(Shown):
    """What became of one custom layer.

    Args:
        path: The names of the layers around it, and its own.
        kind: Name of its class.
        operations: The number of layers and operations that its own code became; None: it stayed one layer.
        reason: Why it stayed one layer; empty if it did not.
    """

    path: str
    kind: str
    operations: int | None
    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class Expansion(Report):
    """What became of the custom layers of a model, as a report.

    Args:
        model: Name of the model.
        kind: Name of its class.
        layers: Each custom layer, once for each use.
        remarks: What differs from the model, or could not be checked. Defaults to nothing.
    """

    model: str
    kind: str
    layers: tuple[ExpandedLayer, ...]
    remarks: tuple[str, ...] = ()

    @property
    def whole(self) -> tuple[ExpandedLayer, ...]:
        """The layers that stayed one layer."""
        return tuple(layer for layer in self.layers if layer.operations is None)

    def lines(self) -> list[str]:
        """Return what became of the custom layers, class by class."""
        apart: dict[str, int] = {}
        for layer in self.layers:
            if layer.operations is not None:
                apart[layer.kind] = apart.get(layer.kind, 0) + 1
        kinds = ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in apart.items())
        first = f"'{self.model}' ({self.kind}) was written out as a graph" + (f": {kinds}" if kinds else "")
        return [first, *self._notes()]

    def _tables(self) -> list[Table]:
        rows = [
            (layer.path, layer.kind, "one layer" if layer.operations is None else f"{layer.operations} operations")
            for layer in self.layers
        ]
        return [Table(("Layer", "Class", "Became"), rows, f"'{self.model}' ({self.kind}) as a graph")]

    def _notes(self) -> list[str]:
        whole = [f"{layer.path} ({layer.kind}) stays one layer: {layer.reason}" for layer in self.whole]
        return [*whole, *self.remarks]

    def _rows(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(layer) for layer in self.layers]

    def _bars(self) -> Bars:
        apart = [layer for layer in self.layers if layer.operations is not None]
        names, sizes = [layer.path for layer in apart], [layer.operations for layer in apart]
        return Bars(f"'{self.model}' as a graph", "operations", names, {"Operations": sizes})

    def _facts(self) -> dict[str, Any]:
        return {"model": self.model, "kind": self.kind, "remarks": list(self.remarks)}


_NOTED: "weakref.WeakKeyDictionary[keras.Model, Expansion]" = weakref.WeakKeyDictionary()


_WEIGHTS: "weakref.WeakKeyDictionary[keras.Model, list[keras.Variable]]" = weakref.WeakKeyDictionary()


def note(model: keras.Model, expansion: Expansion, weights: list[keras.Variable]) -> None:
    """Remembers how a model was made, and which of its weights are those of the model that it was made of, as long as
    it lives."""
    _NOTED[model] = expansion
    _WEIGHTS[model] = weights


def weights_of(model: keras.Model) -> list[keras.Variable]:
    """The weights of a model in the order of the model that it was made of, if `expand` made it; else its own.

    Those that no output depends on are not among the weights of the made model itself.
    """
    return _WEIGHTS.get(model, model.weights)


def find_report(model: keras.Model) -> Expansion | None:
    """What became of the custom layers, if `expand` made the model."""
    return _NOTED.get(model)


def lines_of(model: keras.Model) -> tuple[str, ...]:
    """Lines for a report about a model that `expand` made; none, if it did not."""
    found = find_report(model)
    return () if found is None else tuple(found.lines())


def report(model: keras.Model) -> Expansion:
    """Return what became of the custom layers of the model that `expand` made this one of.

    Args:
        model: A model that `expand` returned, in this process.

    Raises:
        ValueError: It did not.
    """
    found = find_report(model) if isinstance(model, keras.Model) else None
    if found is None:
        name = getattr(model, "name", model)
        raise ValueError(f"`report` takes a model that `expand` returned in this process. Received: {name!r}")
    return found


def report_of(
    model: keras.Model, made: keras.Model, traced: Traced, tracer: Tracer, remarks: tuple[str, ...] = ()
) -> Expansion:
    """What a trace says of a model's custom layers."""
    layers = [
        ExpandedLayer(SEPARATOR.join(call.path), kind_name(call.layer), len(call.operations), "")
        for call in sorted(traced.calls, key=lambda call: call.number)
        if call.path
    ]
    for operation in dict.fromkeys(node.operation for node in traced.nodes):
        if isinstance(operation, keras.Layer) and not is_leaf(operation):
            reason = tracer.whole.get(id(operation), "")
            layers.append(ExpandedLayer(operation.name, kind_name(operation), None, reason))
    return Expansion(model.name, kind_name(model), tuple(layers), remarks)


def kind_name(layer: Any) -> str:
    """Name of the class of a layer."""
    return type(layer).__name__
