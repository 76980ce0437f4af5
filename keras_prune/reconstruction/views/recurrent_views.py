"""Cells of recurrent layers as linear maps: what multiplies their inputs, and what multiplies their states."""

from typing import Any

import numpy as np

from keras_prune import _keras
from keras_prune.reconstruction.views.linear_view import LinearView, as_float, picked


class _Gated(LinearView):
    """What multiplies the inputs of a GRU, whose bias may have a row for the states too."""

    row = 0

    def offsets(self) -> np.ndarray:
        assert self.bias is not None
        return _keras.as_numpy(self.bias).reshape(-1, self.weight.shape[-1])[self.row][None]

    def biases(self, offsets: np.ndarray) -> np.ndarray:
        assert self.bias is not None
        values = np.array(_keras.as_numpy(self.bias), offsets.dtype).reshape(-1, self.weight.shape[-1])
        values[self.row] = offsets
        return values.reshape(self.bias.shape)


class _GatedStates(_Gated):
    """What multiplies the states of a GRU that resets them afterwards, with the row of the bias that is theirs."""

    row = 1


class _Reset(LinearView):
    """What multiplies the states of a GRU that resets them before: its three gates read different ones."""

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return picked(np.moveaxis(as_float(inputs).reshape(-1, 3, inputs.shape[-1]), 1, 0), len(inputs), places)

    def matrices(self, values: np.ndarray | None = None) -> np.ndarray:
        values = self._values(values)
        return np.moveaxis(values.reshape(len(values), 3, -1), 1, 0)

    def weights(self, matrices: np.ndarray) -> np.ndarray:
        return np.moveaxis(matrices, 0, 1).reshape(self.weight.shape)


def cell_views(cell: Any, shared_bias: bool = False) -> list[LinearView]:
    """The weights of a cell whose gates add the products of its inputs and of its states.

    Args:
        cell: A `SimpleRNNCell` or `LSTMCell`.
        shared_bias: Whether the bias belongs to both. Defaults to False: to the inputs.
    """
    bias = cell.bias if cell.use_bias else None
    return [
        LinearView(cell, "kernel", bias, internal=True),
        LinearView(cell, "recurrent_kernel", bias if shared_bias else None, internal=True),
    ]


def gru_views(cell: Any, shared_bias: bool = False) -> list[LinearView]:
    """The weights of a `GRUCell`; as `cell_views`."""
    bias = cell.bias if cell.use_bias else None
    first = _Gated(cell, "kernel", bias, internal=True)
    own = bias if shared_bias else None
    if cell.reset_after:
        states = LinearView if own is None else _GatedStates
        return [first, states(cell, "recurrent_kernel", own, internal=True)]
    return [first, _Reset(cell, "recurrent_kernel", own, groups=3, internal=True)]
