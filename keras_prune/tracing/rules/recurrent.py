"""Recurrent layers: a unit is a column of every gate, a row of the recurrent kernel, and an entry of every state."""

import math
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_prune.graph.configurations import describe
from keras_prune.tracing.rule_context import Kept, Labels, RuleContext, Unsupported
from keras_prune.tracing.rules.activations import apply_activation
from keras_prune.tracing.rules.convolution import channel_axis
from keras_prune.tracing.rules.registry import register_rule

# By class of the cell: its number of gates, and of states.
_CELLS = {layers.SimpleRNNCell: (1, 1), layers.LSTMCell: (4, 2), layers.GRUCell: (3, 1)}


@register_rule(layers.SimpleRNN, layers.LSTM, layers.GRU)
def recurrent(call: RuleContext) -> list[np.ndarray]:
    layer = call.operation
    units = _bind(call, layer.cell, "units", layer.units, call.vector(_sequence(call)))
    call.resize("units", units)
    return _outputs(call, [units] * _CELLS[type(layer.cell)][1])


@register_rule(layers.RNN)
def recurrent_cells(call: RuleContext) -> list[np.ndarray]:
    """One of Keras's cells, or several, each of which reads what the one before it makes."""
    cell = call.operation.cell
    stacked = type(cell) is layers.StackedRNNCells
    cells = cell.cells if stacked else [cell]
    for each in cells:
        if type(each) not in _CELLS:
            raise Unsupported(f"no rule for its cell, a {type(each).__name__}")
    made = [call.mint(f"cell{index}" if stacked else "units", each.units) for index, each in enumerate(cells)]
    given = call.vector(_sequence(call))
    for index, each in enumerate(cells):
        given = _bind(call, each, f"cell{index}" if stacked else "units", each.units, given)

    def configuration(kept: Kept) -> dict[str, Any]:
        changed = describe(cell)
        parts = changed["config"]["cells"] if stacked else [changed]
        for part, units in zip(parts, made, strict=True):
            part["config"]["units"] = kept.count(units)
        for part in parts:
            part.pop("build_config", None)  # holds the old input shape
        return changed

    call.change("cell", configuration)
    states = [units for each, units in zip(cells, made, strict=True) for _ in range(_CELLS[type(each)][1])]
    return _outputs(call, states, made[-1])


@register_rule(*_CELLS)
def one_step(call: RuleContext) -> list[np.ndarray]:
    """A cell that code calls step by step, on its input and the states that it had."""
    cell = call.operation
    states = [leaf for leaf in keras.tree.flatten(call.argument(1, "states")) if leaf is not None]
    given = call.argument(0, "inputs")
    if not isinstance(given, Labels) or not all(isinstance(state, Labels) for state in states):
        raise Unsupported("it is called on constants")
    units = _bind(call, cell, "units", cell.units, call.vector(given))
    call.resize("units", units)
    for state in states:
        call.unite(call.vector(state), units)
    return [call.spread(units, -1, place) for place in range(len(call.output_shapes))]


@register_rule(layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)
def convolutional(call: RuleContext) -> list[np.ndarray]:
    layer = call.operation
    axis = channel_axis(layer)  # of an image; of a sequence of images one more
    given = call.vector(_sequence(call), 2 if axis == 1 else -1)
    image = call.output_shapes[0][2 if layer.return_sequences else 1 :]
    pixels = math.prod(size or 0 for size in image) // layer.filters
    units = _bind(call, layer.cell, "filters", layer.filters, given, gates=4, pixels=pixels)
    call.resize("filters", units)
    return _outputs(call, [units, units], axis=axis)


def _sequence(call: RuleContext) -> np.ndarray:
    sequence = call.argument(0, "sequences")
    if not isinstance(sequence, Labels) or len(call.args) > 2:
        raise Unsupported("it is called in an unknown way")
    return sequence


def _bind(
    call: RuleContext, cell: Any, key: str, size: int, given: np.ndarray, gates: int | None = None, pixels: int = 1
) -> np.ndarray:
    """Binds the kernels of a cell; returns its units. In `pixels` places of each step they are multiplied."""
    units = call.mint(key, size)
    apply_activation(call, cell.activation, units)
    apply_activation(call, getattr(cell, "recurrent_activation", None), units)
    steps = 1 if call.operation is cell else call.shape_of(_sequence(call))[1]
    for kernel in (cell.kernel, cell.recurrent_kernel):
        call.multiply(kernel, None if steps is None else steps * pixels)
    columns = np.tile(units, gates or _CELLS[type(cell)][0])
    call.bind(cell.kernel, -2, given, "in")
    call.bind(cell.kernel, -1, columns, "out")
    call.bind(cell.recurrent_kernel, -2, units, "in")
    call.bind(cell.recurrent_kernel, -1, columns, "out")
    call.bind(cell.bias, -1, columns, "out")
    return units


def _outputs(
    call: RuleContext, states: list[np.ndarray], last: np.ndarray | None = None, axis: int = -1
) -> list[np.ndarray]:
    """The labels of the output and, if it returns them, of the states; the initial states are united with them."""
    begin = [leaf for leaf in keras.tree.flatten(call.argument(1, "initial_state")) if leaf is not None]
    if begin and (len(begin) != len(states) or not all(isinstance(state, Labels) for state in begin)):
        raise Unsupported("its initial state is a constant")
    for given, units in zip(begin, states, strict=False):
        call.unite(call.vector(given, axis), units)
    last = states[0] if last is None else last
    output = axis if axis == -1 or not call.operation.return_sequences else axis + 1
    found = [call.spread(last, output)]
    returned = states[: len(call.output_shapes) - 1]
    return found + [call.spread(units, axis, place) for place, units in enumerate(returned, 1)]
