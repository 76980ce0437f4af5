"""A copy of a model to measure on: one flat graph, whatever models were in it, always in inference mode."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.copying import Copier, copy_state
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
    """A copy of a model to measure on.

    Args:
        model: The copy. All its weights are trainable and none is regularised: the loss is that of the data.
        twins: By identity of a variable of the model, the copy's.
        steps: Every use of an operation, with the tensors before and after it.
    """

    model: keras.Model
    twins: dict[int, keras.Variable]
    steps: list[Step]


def make_runnable(trace: Trace) -> Runnable:
    """Return a copy of a model to measure on; the model itself is only read.

    Args:
        trace: The trace of the model.
    """
    model = trace.model
    copier = _FlatCopier(trace)
    inputs = keras.tree.map_structure(copier.input, _keras.input_structure(model))
    outputs = copier.run(model, inputs)
    copy = AtInference(inputs, outputs, name=model.name)
    copy.output_names = getattr(model, "output_names", copy.output_names)  # by which losses are told apart
    twins: dict[int, keras.Variable] = {}
    for old, new in copier.layers:
        copy_state(old, new)
        twins.update((id(variable), twin) for variable, twin in zip(old.variables, new.variables, strict=True))
    forget_regularization(copy)
    forget_states(copy)
    train_all(copy)
    return Runnable(copy, twins, copier.steps)


class _FlatCopier(Copier):
    """Copies a model node by node; models inside are written out where they are used.

    Args:
        trace: What is known of the model.
    """

    def __init__(self, trace: Trace):
        super().__init__(trace.model)
        self.steps: list[Step] = []
        self.layers: list[tuple[keras.Layer, keras.Layer]] = []
        self._trace = trace
        self._names: set[str] = set()

    def layer(self, path: str, layer: keras.Layer) -> keras.Layer:
        self.layers.append((layer, self._named(self.copies.copy(self._trace.names[id(layer)], layer))))
        return self.layers[-1][1]

    def operation(self, operation: Any) -> Any:
        return self._named(super().operation(operation))

    def model(self, model: keras.Model, prefix: str = "") -> Any:
        return lambda inputs, **_: self.run(model, inputs, prefix)

    def call(self, node: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        copy = make()

        def call(*args: Any, **kwargs: Any) -> Any:
            outputs = copy(*args, **kwargs)
            given = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, keras.KerasTensor)]
            self.steps.append(
                Step(
                    self._trace.names[id(node.operation)],
                    list(zip(node.arguments.keras_tensors, given, strict=True)),
                    list(zip(node.outputs, keras.tree.flatten(outputs), strict=True)),
                )
            )
            return outputs

        return copy if _keras.is_graph(node.operation) else call

    def _named(self, copy: Any) -> Any:
        while copy.name in self._names:  # models inside may use the same names
            copy.name += "_"
        self._names.add(copy.name)
        return copy
