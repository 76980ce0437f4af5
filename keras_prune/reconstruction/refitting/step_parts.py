"""What of a step can be fitted: each weight, what it reads, and whether its products leave the layer."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.measurement.flat_copy import Step
from keras_prune.reconstruction.views.columns import patches
from keras_prune.reconstruction.views.convolution_views import Convolution
from keras_prune.reconstruction.views.each_step import EachStep
from keras_prune.reconstruction.views.linear_view import LinearView
from keras_prune.reconstruction.views.linear_views import linear_views
from keras_prune.reconstruction.views.recurrent_views import cell_views, gru_views
from keras_prune.reconstruction.views.scale_view import scale_views


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A weight of one step that can be fitted.

    Args:
        view: The weight.
        name: What it is called in its layer; empty if it is the layer's only one. Defaults to "".
        reads: The tensor that it multiplies. Defaults to None: something inside of the layer, which is recorded.
        inside: Whether its products stay inside of the layer, so that they are fitted to those of the original.
            Defaults to False: they are the outputs of the step, before its activation.
        states: The axis of the weight that reads the layer's own states, which are those of the original while it is
            fitted: later ones follow from it. Defaults to None: it reads none.
        holder: The layer by which recorded inputs are known. Defaults to None: that of the view.
    """

    view: LinearView
    name: str = ""
    reads: Any = None
    inside: bool = False
    states: int | None = None
    holder: keras.Layer | None = None

    @property
    def recorder(self) -> keras.Layer:
        """The layer by which recorded inputs are known."""
        return self.view.layer if self.holder is None else self.holder


def parts_of(step: Step) -> list[Part]:
    """The weights of a step that can be fitted, in the order in which they are used; none of unknown kinds.

    Args:
        step: A step of a flat copy whose activations stand apart.
    """
    if not isinstance(step.operation, keras.Layer) or not step.inputs:
        return []
    make = _KINDS.get(_keras.class_that_computes(type(step.operation)), _plain)
    return make(step, step.operation)


def _first(step: Step) -> Any:
    """The tensor that the layer reads first: masks and states come after it."""
    return step.inputs[0][1]


def _plain(step: Step, layer: Any) -> list[Part]:
    views = [*linear_views(layer), *scale_views(layer)]
    alone = len(step.outputs) == 1 and not any(view.internal for view in views)
    return [Part(view, reads=_first(step)) for view in views] if alone else []


def _separable(step: Step, layer: Any) -> list[Part]:
    first, second = linear_views(layer)
    return [Part(first, "depthwise_kernel", _first(step), inside=True), Part(second, "pointwise_kernel")]


def _attention(step: Step, layer: Any) -> list[Part]:
    given = _arguments(step)
    key = given.get("key")
    reads = {"query": given["query"], "value": given["value"], "key": given["value"] if key is None else key}
    reads["gate"] = reads["query"]
    found = []
    for name, projection in _keras.attention_projections(layer).items():
        views = linear_views(projection)
        if name == "output":
            found += [(True, Part(view, projection.name)) for view in views]
        else:
            found += [(False, Part(view, projection.name, reads[name], inside=True)) for view in views]
    return [part for _, part in sorted(found, key=lambda each: each[0])]


def _arguments(step: Step) -> dict[str, Any]:
    """What the layer is called with, by name."""
    made = _keras.made_by(step.outputs[0][1])
    assert made is not None
    arguments = made[1].arguments
    return dict(inspect.signature(step.operation.call).bind(*arguments.args, **arguments.kwargs).arguments)


def _recurrent(step: Step, layer: Any, prefix: str = "") -> list[Part]:
    cell = layer.cell
    if isinstance(layer, _CONVOLUTIONAL):
        own = [Convolution(cell, "kernel", cell.bias), _ConvolvedStates(cell, "recurrent_kernel", cell.bias)]
        return _cell_parts([EachStep(view) for view in own], _first(step), prefix, -2, layer)
    cells = cell.cells if isinstance(cell, keras.layers.StackedRNNCells) else [cell]
    found: list[Part] = []
    for number, each in enumerate(cells):
        kind = _CELLS.get(_keras.class_that_computes(type(each)))
        if kind is None:
            return []
        name = f"{prefix}{each.name}/" if len(cells) > 1 else prefix
        found += _cell_parts(kind(each, True), _first(step) if not number else None, name, 0, None)
    return found


def _cell_parts(views: list[LinearView], reads: Any, prefix: str, axis: int, holder: Any) -> list[Part]:
    first, states = views
    return [
        Part(first, f"{prefix}kernel", reads, inside=True, holder=holder),
        Part(states, f"{prefix}recurrent_kernel", inside=True, states=axis, holder=holder),
    ]


def _bidirectional(step: Step, layer: Any) -> list[Part]:
    both = layer.forward_layer, layer.backward_layer
    if any(_KINDS.get(_keras.class_that_computes(type(each))) is not _recurrent for each in both):
        return []
    return [part for each in both for part in _recurrent(step, each, f"{each.name}/")]


def _time_distributed(step: Step, layer: Any) -> list[Part]:
    views = linear_views(layer.layer)
    if any(view.internal for view in views):
        return []
    return [Part(EachStep(view), reads=_first(step)) for view in views]


class _ConvolvedStates(Convolution):
    """What multiplies the states of a recurrent layer of images, which keep their size."""

    def _seen(self, values: np.ndarray, places: np.ndarray | None) -> np.ndarray:
        size = tuple(self.weight.shape[:-2])
        ones = (1,) * len(size)
        return patches(values, size, ones, ones, "same", places)


_CONVOLUTIONAL = keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D
_CELLS: dict[type, Callable[..., list[LinearView]]] = {
    keras.layers.SimpleRNNCell: cell_views,
    keras.layers.LSTMCell: cell_views,
    keras.layers.GRUCell: gru_views,
}
_KINDS: dict[type, Callable[..., list[Part]]] = {
    keras.layers.SeparableConv1D: _separable,
    keras.layers.SeparableConv2D: _separable,
    keras.layers.MultiHeadAttention: _attention,
    keras.layers.GroupQueryAttention: _attention,
    keras.layers.Bidirectional: _bidirectional,
    keras.layers.TimeDistributed: _time_distributed,
}
for _cls in (keras.layers.RNN, keras.layers.SimpleRNN, keras.layers.LSTM, keras.layers.GRU, *_CONVOLUTIONAL):
    _KINDS[_cls] = _recurrent
