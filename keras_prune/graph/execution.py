"""Runs a model node by node, with some uses of layers bypassed, or with a function called on each tensor."""

from collections.abc import Callable
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.stateful import states_untouched

Make = Callable[[], Callable[..., Any]]
Call = Callable[[Any, Make], Callable[..., Any]]


def run(model: keras.Model, inputs: Any, call: Call) -> Any:
    """Call a model on data, in inference mode, with `call(node, make)` for each node of its graphs.

    Args:
        model: A Sequential or Functional model. It is not changed, nor are the states of its recurrent layers.
        inputs: A batch of inputs, as the model takes them.
        call: Returns what is called for a node; `make` returns the operation itself. See `Left.call`.

    Returns:
        The outputs.
    """
    with states_untouched(model):
        return _run(model, inputs, call)


def _run(model: keras.Model, inputs: Any, call: Call) -> Any:
    return _keras.call_graph(model, inputs, lambda node: call(node, lambda: _inside(node.operation, call)))


def _inside(operation: Any, call: Call) -> Callable[..., Any]:
    """What computes an operation: of a model, node by node."""
    return (lambda inputs, **_: _run(operation, inputs, call)) if _keras.is_graph(operation) else operation
