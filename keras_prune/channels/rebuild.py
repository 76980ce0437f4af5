"""The model with fewer channels: every layer made from a changed configuration, every weight cut along its bindings."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.graph.configurations import reconfigure
from keras_prune.graph.copying import Copier, copy_learnt, copy_variables
from keras_prune.graph.same_outputs import check_copy
from keras_prune.graph.structure import Graph
from keras_prune.tracing.binding import Binding
from keras_prune.tracing.constants import cut_constants
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.trace import Trace


def rebuild(trace: Trace, keep: np.ndarray, values: Mapping[int, np.ndarray] | None = None) -> keras.Model:
    """Return a new model of the channels that are kept; the model itself is only read.

    Args:
        trace: What is known of the model.
        keep: Boolean array: for each atom, whether it is kept.
        values: What to take in place of weights of the model, by identity. Defaults to None: their own values.

    Raises:
        RuntimeError: A layer came out in another shape than its rule says.
        ValueError: A layer cannot be copied, its copy computes something else, or two hold the same weight.
    """
    rebuilder = _Rebuilder(trace, Kept(keep), values or {})
    try:
        # In this scope Keras makes variables without a value, and at its end gives them the one named meanwhile: no
        # initialiser draws what would be overwritten at once, which takes about as long as all the rest.
        with keras.StatelessScope():
            model = rebuilder.rebuilt()
    except ValueError:
        # Some layer needs the values of its variables while it is built, as a stateful LSTM does, or cannot be built.
        rebuilder = _Rebuilder(trace, Kept(keep), values or {})
        model = rebuilder.rebuilt()
    rebuilder.copy_learnt()
    return model


class _Rebuilder(Copier):
    """Copies a model with the channels that are kept; every weight is cut along its bindings.

    Args:
        trace: What is known of the model.
        kept: The channels that are kept.
        values: What to take in place of weights, by identity.
    """

    def __init__(self, trace: Trace, kept: Kept, values: Mapping[int, np.ndarray]):
        super().__init__(trace.model)
        self._trace = trace
        self._kept = kept
        self._new_values = values
        self._layers: list[tuple[keras.Layer, keras.Layer]] = []
        self._untouched: list[tuple[keras.Layer, keras.Layer]] = []
        self._cuts: dict[int, list[Binding]] = {}
        # The first axes first: what they leave out lies in long runs, and is not read again for the next axis.
        for binding in sorted(trace.found.bindings.values(), key=lambda each: each.axis):
            self._cuts.setdefault(id(binding.weight), []).append(binding)

    def rebuilt(self) -> keras.Model:
        """The smaller model, with its weights."""
        model = self.model(self._trace.model)
        self._tie()
        for old, new in self._layers:  # once all layers are built
            copy_variables(old, new, self._values)
        _keras.track_again(model)
        return model

    def _tie(self) -> None:
        """Makes each weight that several layers hold one weight, though layers of other sizes were made one by one."""
        made: dict[int, keras.Variable] = {}
        for old, new in self._layers:
            for variable, twin in zip(old.variables, new.variables, strict=True):
                first = made.setdefault(id(variable), twin)
                if first is twin:
                    continue
                if first.shape != twin.shape:
                    raise RuntimeError(
                        f"The rules of the layers that hold '{variable.path}' say that its copies are of different "
                        f"shapes. Received: {tuple(first.shape)} and {tuple(twin.shape)}"
                    )
                _keras.replace_variable(new, twin, first)

    def copy_learnt(self) -> None:
        """Copies what else was learnt, once the weights have their values: a `Normalization` reckons with them.

        Layers that are as they were must then compute what they did.
        """
        for old, new in self._layers:
            copy_learnt(old, new)
        for old, new in self._untouched:
            check_copy(old, new)

    def layer(self, path: str, layer: keras.Layer) -> keras.Layer:
        inner = _keras.inner_graph(layer)
        if inner is None:
            name = self._trace.names[id(layer)]
            if self._is_touched(layer):
                copy = self._smaller(name, layer)
            else:
                copy = self.copies.copy(name, layer)
                self._untouched.append((layer, copy))
        else:  # for each step in time
            copy = type(layer)(self.copy(inner, f"{path}/"), **keras.Layer.get_config(layer))
        self._layers.append((layer, copy))
        return copy

    def _is_touched(self, layer: keras.Layer) -> bool:
        """Whether something of the layer, or of the tensors around it, changes its size."""
        tensors = [
            tensor for node in _keras.nodes_of(layer) for tensor in (*node.arguments.keras_tensors, *node.outputs)
        ]
        known = [tensor for tensor in tensors if id(tensor) in self._trace.tensors]
        return any(self.shape(tensor) != tuple(tensor.shape) for tensor in known) or self._is_cut(layer)

    def _is_cut(self, layer: keras.Layer) -> bool:
        bindings = [each for variable in layer.variables for each in self._cuts.get(id(variable), ())]
        return not all(self._kept.mask(each.labels).all() for each in bindings)

    def _smaller(self, path: str, layer: keras.Layer) -> keras.Layer:
        """The layer for other sizes, from its configuration; as it is, if that fails and no weight is cut."""
        changes = self._changes(layer)
        try:
            return reconfigure(layer, changes)
        except ValueError:
            if changes or self._is_cut(layer):
                raise
            return self.copies.copy(path, layer)

    def operation(self, operation: Any) -> Any:
        return _keras.copy_operation(operation, self._changes(operation))

    def shape(self, tensor: Any) -> tuple[int | None, ...]:
        """The shape that a tensor of the model must have in the smaller one."""
        left = self._kept.shape(*self._trace.planes(tensor))
        return tuple(None if size is None else now for size, now in zip(tensor.shape, left, strict=True))

    def call(self, node: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """The new operation, which must give tensors of the shapes that the labels say: a wrong rule is found here."""
        copy = make()
        arguments = self._trace.found.arguments.get(id(node.operation), {})
        constants = self._trace.found.constants.get(id(node.operation), {})

        def call(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = cut_constants(args, kwargs, constants, self._kept)
            for (position, name), value in arguments.items():
                if name in kwargs:
                    kwargs[name] = value(self._kept)
                else:
                    args = (*args[:position], value(self._kept), *args[position + 1 :])
            outputs = copy(*args, **kwargs)
            self._check(node, keras.tree.flatten(outputs))
            return outputs

        return call

    def finished(self, model: keras.Model, copy: keras.Model) -> None:
        """The same check for the layers of a Sequential model, which Keras calls itself."""
        if isinstance(model, keras.Sequential):
            for old, new in zip(Graph.of(model).nodes, Graph.of(copy).nodes, strict=True):
                self._check(old, new.outputs)

    def _changes(self, operation: Any) -> dict[str, Any]:
        """What is changed in an operation's configuration."""
        return {key: value(self._kept) for key, value in self._trace.found.changes.get(id(operation), {}).items()}

    def _values(self, variable: keras.Variable) -> np.ndarray:
        """What a variable holds at the positions that are kept."""
        new = self._new_values.get(id(variable))
        values = whole = _keras.as_numpy(variable) if new is None else new
        for binding in self._cuts.get(id(variable), ()):
            mask = self._kept.mask(binding.labels)
            if not mask.all():
                values = np.compress(mask, values, axis=binding.axis)
            if binding.rescale is not None:
                values = values * np.asarray(binding.rescale(self._kept), values.dtype)
        return np.array(values) if values is whole else values

    def _check(self, node: Any, outputs: list[Any]) -> None:
        got = [tuple(tensor.shape) for tensor in outputs]
        expected = [self.shape(tensor) for tensor in node.outputs]
        # Of a tensor without entries nothing is removed, and no label says how large its other axes are.
        if any(new != said for new, said in zip(got, expected, strict=True) if 0 not in said):
            raise RuntimeError(
                f"The rule for {type(node.operation).__name__} says of '{node.operation.name}' that it gives shapes "
                f"{expected}, but the smaller layer gives others. Received: {got}"
            )
