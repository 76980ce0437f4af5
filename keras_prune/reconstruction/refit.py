"""Layer by layer, in the order of the graph, what is left of a model is fitted to what the original computed."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.graph.structure import Structure
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.flat_copy import Runnable, Step, make_runnable
from keras_prune.reconstruction.frontier import Frontier
from keras_prune.reconstruction.layer_fit import Cut, LayerFit, Settings, Use
from keras_prune.reconstruction.linear_view import LinearView
from keras_prune.reconstruction.linear_views import linear_views
from keras_prune.reconstruction.tails import Flow
from keras_prune.reporting.numbers import number
from keras_prune.reporting.progress import track
from tflite_export.reporting import Shown, Table

BATCH_SIZE = 256


@dataclasses.dataclass(frozen=True)
class LayerRefit(Shown):
    """One layer of the smaller model, and how near it comes to the original on the data.

    Args:
        layer: Its path.
        inputs: The number of weights, the bias included, that each of its outputs has; None if it cannot be fitted.
        rows: The number of equations for each output: of samples, times places in an image or sequence. None if the
            layer was not fitted.
        before: The error before: the sum of squares of what its outputs are off, relative to that of the outputs of
            the original around their mean. None if it was not measured.
        after: The error after, likewise.
        note: What is to be known of it, such as why it was left as it was; empty if nothing.
    """

    layer: str
    inputs: int | None
    rows: int | None
    before: float | None
    after: float | None
    note: str = ""


def refit_table(layers: Sequence[LayerRefit]) -> list[Table]:
    """Return the table of a report; none if there are no layers."""
    if not layers:
        return []
    rows = [
        (each.layer, number(each.inputs), number(each.rows), _error(each.before), _error(each.after), each.note)
        for each in layers
    ]
    headings = ("Layer", "Inputs", "Rows", "Error before", "After", "Note")
    return [Table(headings, rows, "Compensated: error of the outputs, relative to their variance")]


def _error(value: float | None) -> str:
    return number(None) if value is None else f"{100 * value:.2f}%"


def count_samples(batches: Batches) -> int:
    """Return the number of samples. All of them are read, so all are checked."""
    return sum(len(keras.tree.flatten(x)[0]) for x, *_ in batches)


def refit(
    original: keras.Model, small: keras.Model, cut: Cut, batches: Batches, settings: Settings | None = None
) -> tuple[LayerRefit, ...]:
    """Fit the weights of a smaller model so that it computes what the original does, in place; without training.

    One layer after the other, each on the inputs that it has once those before it were fitted. Layers whose outputs are
    right as they are, because nothing before them changed, are not touched.

    Args:
        original: The original. It is only read.
        small: The smaller model: the same graph, perhaps without some steps, with fewer channels.
        cut: What is kept of the values of a tensor of the original.
        batches: Inputs for both.
        settings: How to fit. Defaults to None: the defaults of `Settings`.

    Returns:
        A record of each layer that was not right, in the order of the graph.
    """
    samples = count_samples(batches)
    before, after = (make_runnable(model, _paths(model), activations_apart=True) for model in (original, small))
    frozen = {id(after.twins[id(each)]) for each in small.variables if not each.trainable and id(each) in after.twins}
    refitter = _Refitter(before, after, cut, settings or Settings(), frozen)
    found = refitter.run(batches, samples)
    for variable in small.variables:
        twin = after.twins.get(id(variable))
        if twin is not None and id(twin) in refitter.changed:
            variable.assign(np.array(_keras.as_numpy(twin)))
    return found


class _Refitter:
    def __init__(self, before: Runnable, after: Runnable, cut: Cut, settings: Settings, frozen: set[int]):
        self._after, self._cut, self._settings = after, cut, settings
        self._values = Frontier(before.model), Frontier(after.model)
        self._frozen = frozen
        self._targets = dict(zip(_keys(before.steps), before.steps, strict=True))
        self._keys = _keys(after.steps)
        self._views = [_fitted(step) for step in after.steps]
        last: dict[int, int] = {}  # the last use of a weight
        self._holders: dict[int, set[int]] = {}
        for index, (step, views) in enumerate(zip(after.steps, self._views, strict=True)):
            for view in views:
                last[id(view.weight)] = index
                self._holders.setdefault(id(view.weight), set()).add(id(step.operation))
        self._last = [max((last[id(view.weight)] for view in views), default=-1) for views in self._views]
        self._flow = Flow(after)
        self.changed: set[int] = set()

    def run(self, batches: Batches, samples: int) -> tuple[LayerRefit, ...]:
        todo = [index for index, views in enumerate(self._views) if views and self._last[index] == index]
        todo = self._flow.order(todo, [self._views[index][0].matrices().shape[1] for index in todo])
        when = {index: number for number, index in enumerate(todo)}
        self._flow.settled = [when.get(last, -1) for last in self._last]
        found = [
            self._fit(index, view, batches, samples)
            for index in track(todo, len(todo), f"Compensating {len(todo)} layers")
            for view in self._views[index]
        ]
        return (*(each for each in found if each is not None), *self._left())

    def _left(self) -> list[LayerRefit]:
        """The layers with fewer channels that cannot be fitted, each once."""
        found: dict[str, LayerRefit] = {}
        for step, views, key in zip(self._after.steps, self._views, self._keys, strict=True):
            original = self._targets.get(key)
            if not views and original is not None and _shapes(step.operation) != _shapes(original.operation):
                note = f"no fit for a {type(step.operation).__name__}: left as sliced"
                found[step.path] = LayerRefit(step.path, None, None, None, None, note)
        return list(found.values())

    def _fit(self, index: int, view: LinearView, batches: Iterable[Any], samples: int) -> LayerRefit | None:
        step = self._after.steps[index]
        inputs = view.matrices().shape[1] + (view.bias is not None)
        reason = self._unfit(index, view)
        if reason:
            return LayerRefit(step.path, inputs, None, None, None, reason)
        uses = [
            Use(each, tail, self._targets[self._key_of(tail.step)])
            for place, each in enumerate(self._after.steps)
            if any(own.weight is view.weight for own in self._views[place])
            for tail in [self._flow.tail(place, self._settings.sums)]
        ]
        fit = LayerFit(view, uses, *self._values, self._cut, self._settings)
        found = fit.run(batches, samples)
        if found is None:
            return None
        if found.changed:
            self.changed |= {id(each) for each in fit.variables}
        few = found.rows < found.inputs
        note = f"fewer rows than inputs ({found.rows} for {found.inputs}): more data would fit it better" if few else ""
        note = note if found.changed else "nothing better was found: left as it was"
        return LayerRefit(step.path, found.inputs, found.rows, found.before, found.after, note)

    def _unfit(self, index: int, view: LinearView) -> str:
        """Why a weight is left as it is; empty if it is fitted."""
        layer: Any = view.layer
        if len(self._holders[id(view.weight)]) > 1:
            return "another layer has the same weight"
        if id(view.weight) in self._frozen:
            return "not trainable"
        if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
            return "quantised, or with LoRA weights"
        if self._keys[index] not in self._targets:
            return "the original has no such layer"
        return ""

    def _key_of(self, step: Step) -> tuple[str, int]:
        return self._keys[next(index for index, each in enumerate(self._after.steps) if each is step)]


def _fitted(step: Step) -> list[LinearView]:
    """The weights of a step that can be fitted from outside: those that give what comes out of it."""
    if not isinstance(step.operation, keras.Layer) or len(step.inputs) != 1 or len(step.outputs) != 1:
        return []
    views = linear_views(step.operation)
    return [] if any(view.internal for view in views) else views


def _shapes(operation: Any) -> list[tuple[int, ...]]:
    """The shapes of the kernels of a layer: of its weights except for scales and biases."""
    return [tuple(each.shape) for each in getattr(operation, "weights", ()) if len(each.shape) > 1]


def _keys(steps: Sequence[Step]) -> list[tuple[str, int]]:
    """What a step is called in both models: its path, and the number of the use."""
    seen: dict[str, int] = {}
    found = []
    for step in steps:
        seen[step.path] = seen.get(step.path, -1) + 1
        found.append((step.path, seen[step.path]))
    return found


def _paths(model: keras.Model) -> dict[int, str]:
    structure = Structure(model)
    return {id(node.operation): structure.path(node) for node in reversed(structure.nodes)}
