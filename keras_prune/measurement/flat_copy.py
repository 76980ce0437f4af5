"""A copy of a model to measure on: one flat graph, whatever models were in it, always in inference mode."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.copying import Copier, copy_state
from keras_prune.graph.stateful import forget_states
from keras_prune.measurement.copies import AtInference, forget_regularization, train_all

_WITH_ACTIVATION = (
    *(keras.layers.Dense, keras.layers.EinsumDense),
    *(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D),
    *(keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose),
    *(keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D),
    *(keras.layers.SeparableConv1D, keras.layers.SeparableConv2D),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One use of one operation.

    Args:
        path: The operation's path in the model.
        operation: The copy of the operation.
        inputs: Pairs of the tensors that it reads in the model and in the copy.
        outputs: Likewise, of those that it makes.
        before_activation: The copy's tensor before the activation that the layer itself applies, where activations
            stand apart and it has one. Defaults to None.
    """

    path: str
    operation: Any
    inputs: list[tuple[Any, Any]]
    outputs: list[tuple[Any, Any]]
    before_activation: Any = None


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


def make_runnable(model: keras.Model, names: Mapping[int, str], activations_apart: bool = False) -> Runnable:
    """Return a copy of a model to measure on; the model itself is only read.

    Args:
        model: A Sequential or Functional model.
        names: The path of each operation, by its identity.
        activations_apart: Whether the activation of a layer becomes a layer of its own, so that what is before it can
            be measured. Defaults to False.
    """
    copier = _FlatCopier(model, names, activations_apart)
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
        model: The model.
        paths: The path of each operation, by its identity.
        apart: Whether activations become layers of their own.
    """

    def __init__(self, model: keras.Model, paths: Mapping[int, str], apart: bool):
        super().__init__(model)
        self.steps: list[Step] = []
        self.layers: list[tuple[keras.Layer, keras.Layer]] = []
        self._paths, self._apart = paths, apart
        self._activations: dict[int, keras.Layer] = {}
        self._names: set[str] = set()

    def layer(self, path: str, layer: keras.Layer) -> keras.Layer:
        copy = self._named(self.copies.copy(self._paths[id(layer)], layer))
        self.layers.append((layer, copy))
        holder: Any = copy.layer if isinstance(copy, keras.layers.TimeDistributed) else copy
        activation = getattr(holder, "activation", None)
        plain = activation in (None, keras.activations.linear)
        if self._apart and isinstance(holder, _WITH_ACTIVATION) and not plain:
            self._activations[id(copy)] = self._named(
                keras.layers.Activation(activation, name=f"{copy.name}_activation")
            )
            holder.activation = keras.activations.linear
        return copy

    def operation(self, operation: Any) -> Any:
        return self._named(super().operation(operation))

    def model(self, model: keras.Model, prefix: str = "") -> Any:
        return lambda inputs, **_: self.run(model, inputs, prefix)

    def call(self, node: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        copy = make()

        def call(*args: Any, **kwargs: Any) -> Any:
            outputs = copy(*args, **kwargs)
            before = outputs if id(copy) in self._activations else None
            if before is not None:
                outputs = self._activations[id(copy)](before)
            given = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, keras.KerasTensor)]
            self.steps.append(
                Step(
                    self._paths[id(node.operation)],
                    copy,
                    list(zip(node.arguments.keras_tensors, given, strict=True)),
                    list(zip(node.outputs, keras.tree.flatten(outputs), strict=True)),
                    before,
                )
            )
            return outputs

        return copy if _keras.is_graph(node.operation) else call

    def _named(self, copy: Any) -> Any:
        while copy.name in self._names:  # models inside may use the same names
            copy.name += "_"
        self._names.add(copy.name)
        return copy
