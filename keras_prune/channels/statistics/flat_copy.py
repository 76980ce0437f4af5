"""A copy of a model to measure on: one flat graph, whatever models were in it, that always runs as in inference."""

import dataclasses
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.copying import copy_layer, copy_state
from keras_prune.graph.stateful import forget_states
from keras_prune.measurement.copies import AtInference, forget_regularization, train_all
from keras_prune.tracing.trace import Trace


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One use of one operation.

    Args:
        path: The operation's path in the model.
        inputs: Pairs of the tensors that it reads in the model and in the copy.
        outputs: Likewise, of those that it makes.
    """

    path: str
    inputs: list[tuple[Any, Any]]
    outputs: list[tuple[Any, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Runnable:
    """A copy of a model.

    Args:
        model: The copy. All its weights are trainable and none is regularised: the loss is that of the data.
        twins: By identity of a variable of the model, the copy's.
        steps: Every use of an operation, with the tensors before and after it.
    """

    model: keras.Model
    twins: dict[int, keras.Variable]
    steps: list[Step]


def make_runnable(trace: Trace) -> Runnable:
    """Copies a model; the model itself is only read.

    Args:
        trace: What is known of the model.
    """
    model = trace.model
    copier = _Copier(trace)
    inputs = keras.tree.map_structure(_keras.copy_input, _keras.input_structure(model))
    outputs = copier.run(model, inputs)
    copy = AtInference(inputs, outputs, name=model.name)
    copy.output_names = getattr(model, "output_names", copy.output_names)  # by which losses are told apart
    twins: dict[int, keras.Variable] = {}
    for old, new in copier.layers():
        copy_state(old, new)
        twins.update((id(variable), twin) for variable, twin in zip(old.variables, new.variables, strict=True))
    forget_regularization(copy)
    forget_states(copy)
    train_all(copy)
    return Runnable(copy, twins, copier.steps)


class _Copier:
    """Calls copies of the operations on new symbolic tensors; a layer that is used twice is copied once."""

    def __init__(self, trace: Trace):
        self.steps: list[Step] = []
        self._trace = trace
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._names: set[str] = set()

    def layers(self) -> list[tuple[keras.Layer, keras.Layer]]:
        return [pair for pair in self._copies.values() if isinstance(pair[0], keras.Layer)]

    def run(self, model: keras.Model, inputs: Any) -> Any:
        nodes = iter(_keras.graph_nodes(model))
        return _keras.run_graph(model, inputs, lambda operation: self._step(operation, next(nodes)))

    def _step(self, operation: Any, node: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if _keras.is_graph(operation):
                return self.run(operation, args[0] if args else kwargs["inputs"])
            outputs = self._copy(operation)(*args, **kwargs)
            given = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, keras.KerasTensor)]
            self.steps.append(
                Step(
                    self._trace.names[id(operation)],
                    list(zip(node.arguments.keras_tensors, given, strict=True)),
                    list(zip(node.outputs, keras.tree.flatten(outputs), strict=True)),
                )
            )
            return outputs

        return call

    def _copy(self, operation: Any) -> Any:
        if id(operation) not in self._copies:
            is_layer = isinstance(operation, keras.Layer)
            copy = copy_layer(operation) if is_layer else _keras.copy_operation(operation)
            while copy.name in self._names:  # models inside may use the same names
                copy.name += "_"
            self._names.add(copy.name)
            self._copies[id(operation)] = operation, copy
        return self._copies[id(operation)][1]
