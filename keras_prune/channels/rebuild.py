"""The smaller model: every layer made anew from a changed configuration, every weight cut along its bindings."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.graph.copying import Owners, copy_layer, copy_learnt, copy_variables
from keras_prune.tracing.binding import Binding
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.trace import Trace


def rebuild(trace: Trace, keep: np.ndarray) -> keras.Model:
    """Returns a new model without the channels that go; the model itself is only read.

    Args:
        trace: What is known of the model.
        keep: For each atom, whether it stays.

    Raises:
        RuntimeError: A layer came out in another shape than its rule says.
        ValueError: A layer cannot be copied, or two hold the same weight.
    """
    rebuilder = _Rebuilder(trace, Kept(keep))
    try:
        # In this scope Keras makes variables without a value, and at its end gives them the one named meanwhile: no
        # initialiser draws what would be overwritten at once, which takes about as long as all the rest.
        with keras.StatelessScope():
            model = rebuilder.rebuilt()
    except ValueError:
        # Some layer needs the values of its variables while it is built, as a stateful LSTM does, or cannot be built.
        rebuilder = _Rebuilder(trace, Kept(keep))
        model = rebuilder.rebuilt()
    rebuilder.finish()
    return model


class _Rebuilder:
    """Remembers what it made: a layer that is used twice, here or in two models inside, stays one layer."""

    def __init__(self, trace: Trace, kept: Kept):
        self._trace = trace
        self._kept = kept
        self._copies: dict[int, Any] = {}
        self._owners = Owners()
        self._layers: list[tuple[keras.Layer, keras.Layer]] = []
        self._cuts: dict[int, list[Binding]] = {}
        # The first axes first: what they leave out goes in long runs, and need not be looked at again.
        for binding in sorted(trace.found.bindings.values(), key=lambda each: each.axis):
            self._cuts.setdefault(id(binding.weight), []).append(binding)

    def rebuilt(self) -> keras.Model:
        """The smaller model, with its weights."""
        model = self._model(self._trace.model)
        for old, new in self._layers:  # once all layers are built
            copy_variables(old, new, self._values)
        return model

    def finish(self) -> None:
        """Copies what else was learnt, once the weights have their values: a `Normalization` reckons with them."""
        for old, new in self._layers:
            copy_learnt(old, new)

    def _model(self, model: keras.Model) -> keras.Model:
        if isinstance(model, keras.Sequential):
            inputs = [self._input(tensor) for tensor in model.inputs]
            copy = type(model)([*inputs, *map(self._operation, model.layers)], name=model.name)
            for old, new in zip(_keras.graph_nodes(model), _keras.graph_nodes(copy), strict=True):
                self._check(old, new.outputs)
        else:
            inputs = keras.tree.map_structure(self._input, model.input)
            nodes = iter(_keras.graph_nodes(model))
            outputs = _keras.run_graph(model, inputs, lambda operation: self._checked(operation, next(nodes)))
            copy = type(model)(inputs, outputs, name=model.name)
        if not model.trainable:  # reaches every layer in it, so only when it says something
            copy.trainable = False
        return copy

    def _values(self, variable: keras.Variable) -> np.ndarray:
        values = whole = _keras.as_numpy(variable)
        for binding in self._cuts.get(id(variable), ()):
            mask = self._kept.mask(binding.labels)
            if not mask.all():
                values = np.compress(mask, values, axis=binding.axis)
            if binding.rescale is not None:
                values = values * np.asarray(binding.rescale(self._kept), values.dtype)
        return np.array(values) if values is whole else values

    def _input(self, tensor: Any) -> Any:
        return _keras.copy_input(tensor, self._shape(tensor))

    def _shape(self, tensor: Any) -> tuple[int | None, ...]:
        """The shape that a tensor of the model must have left."""
        left = self._kept.shape(self._trace.tensors[id(tensor)])
        return tuple(None if size is None else now for size, now in zip(tensor.shape, left, strict=True))

    def _checked(self, operation: Any, node: Any) -> Callable[..., Any]:
        """The new operation, which must give tensors of the shapes that the labels say: a wrong rule is found here."""
        copy = self._operation(operation)
        arguments = self._trace.found.arguments.get(id(operation), {})

        def call(*args: Any, **kwargs: Any) -> Any:
            for (position, name), value in arguments.items():
                if name in kwargs:
                    kwargs[name] = value(self._kept)
                else:
                    args = (*args[:position], value(self._kept), *args[position + 1 :])
            outputs = copy(*args, **kwargs)
            self._check(node, keras.tree.flatten(outputs))
            return outputs

        return call

    def _check(self, node: Any, outputs: list[Any]) -> None:
        got = [tuple(tensor.shape) for tensor in outputs]
        expected = [self._shape(tensor) for tensor in node.outputs]
        if got != expected:
            raise RuntimeError(
                f"The rule for {type(node.operation).__name__} says of '{node.operation.name}' that it gives shapes "
                f"{expected}, but the smaller layer gives others. Received: {got}"
            )

    def _operation(self, operation: Any) -> Any:
        if id(operation) not in self._copies:
            self._copies[id(operation)] = self._copy(operation)
        return self._copies[id(operation)]

    def _copy(self, operation: Any) -> Any:
        if _keras.is_graph(operation):
            return self._model(operation)
        changes = {key: value(self._kept) for key, value in self._trace.found.changes.get(id(operation), {}).items()}
        if not isinstance(operation, keras.Layer):
            return _keras.copy_operation(operation, changes)
        inner = _keras.inner_graph(operation)
        if inner is None:
            self._owners.add(self._trace.names[id(operation)], operation.weights)
            copy = copy_layer(operation, changes)
        else:  # for each step in time
            copy = type(operation)(self._operation(inner), **keras.Layer.get_config(operation))
        self._layers.append((operation, copy))
        return copy
