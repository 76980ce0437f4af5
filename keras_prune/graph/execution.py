"""Running a model step by step: with some uses of layers passed by, or with a look at each tensor."""

from collections.abc import Callable
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.stateful import states_untouched

Make = Callable[[], Callable[..., Any]]


def run(model: keras.Model, inputs: Any, call: Callable[[Any, Make], Callable[..., Any]]) -> Any:
    """Calls a model on data, in inference mode, with `call(node, make)` for each node of its graphs.

    Args:
        model: A Sequential or Functional model. It is not changed, nor are the states of its recurrent layers.
        inputs: A batch of inputs, as the model takes them.
        call: Returns what is called for a node; `make` returns the operation itself. See `Left.call`.

    Returns:
        The outputs.
    """
    nodes = iter(_keras.graph_nodes(model))

    def replace(operation: Any) -> Callable[..., Any]:
        return call(next(nodes), lambda: _inside(operation, call))

    with states_untouched(model):
        return _keras.call_graph(model, inputs, replace)


def _inside(operation: Any, call: Callable[[Any, Make], Callable[..., Any]]) -> Callable[..., Any]:
    if not _keras.is_graph(operation):
        return operation
    return lambda inputs, **_: run(operation, inputs, call)
