"""Recurrent layers: a unit is a column of every gate, and a row of the recurrent kernel."""

import keras
import numpy as np
from keras import layers

from keras_prune.channels.call import Call, Unsupported
from keras_prune.channels.rules.activations import apply_activation
from keras_prune.channels.rules.registry import register_rule

_GATES = {layers.SimpleRNN: 1, layers.LSTM: 4, layers.GRU: 3}


@register_rule(*_GATES)
def recurrent(call: Call) -> list[np.ndarray]:
    layer = call.operation
    cell = layer.cell
    if layer.stateful:
        raise Unsupported("it is stateful: its state has a size of its own")
    named = dict(zip(("sequences", "initial_state", "mask"), call.args, strict=False)) | call.kwargs
    sequence, states = (
        call.inputs[0],
        [leaf for leaf in keras.tree.flatten(named.get("initial_state")) if leaf is not None],
    )
    if not all(isinstance(state, np.ndarray) and state.shape == (1, layer.units) for state in states):
        raise Unsupported("its initial state is a constant")
    units = call.mint("units", layer.units)
    for kernel in (cell.kernel, cell.recurrent_kernel):
        call.multiply(kernel, call.input_shapes[0][1])
    apply_activation(call, cell.activation, units)
    apply_activation(call, getattr(cell, "recurrent_activation", None), units)
    gates = np.tile(units, _GATES[type(layer)])
    for state in states:
        call.unite(state, units[None])
    call.bind(cell.kernel, 0, call.vector(sequence), "in")
    call.bind(cell.kernel, 1, gates, "out")
    call.bind(cell.recurrent_kernel, 0, units, "in")
    call.bind(cell.recurrent_kernel, 1, gates, "out")
    call.bind(cell.bias, -1, gates, "out")
    call.resize("units", units)
    return [call.spread(units, -1, output) for output in range(len(call.output_shapes))]
