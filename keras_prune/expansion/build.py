"""The Functional model of any batch size, made from two traces of a model."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.expansion.any_batch import Batches, Follows, array_of_any, differing, same, slice_of_any
from keras_prune.expansion.following import WAYS, Following, check_shapes
from keras_prune.expansion.names import Names, name_of_operation
from keras_prune.expansion.own_training import at_inference, fixed_training
from keras_prune.expansion.reasons import reason_of
from keras_prune.expansion.traced import Call, Traced
from keras_prune.graph.leaf_layers import RepeatForBatch, constant_of, weight_of

_SMALL = 16  # constants of more entries become weights: a configuration would hold them as text


class Failed(Exception):
    """Exception for a node that cannot be part of the model; it has the call that made it.

    Args:
        call: The call of a custom layer; None: the model's own graph.
        reason: Why.
    """

    def __init__(self, call: Call | None, reason: str):
        super().__init__(reason)
        self.call, self.reason = call, reason


class Builder:
    """Makes the nodes of the first trace again on new inputs.

    Args:
        first: A trace of the model.
        second: One of another batch size, with the same operations.
        batches: The sizes.
        model: The copy of the model that was traced, whose variables become those of the new model.
    """

    def __init__(self, first: Traced, second: Traced, batches: Batches, model: keras.Model):
        self._own = {id(variable) for variable in model.variables}
        self._first, self._second, self._batches = first, second, batches
        self._names = Names()
        self._made: dict[int, Any] = {}
        self._operations: dict[int, Any] = {}
        self._weights: dict[int, Any] = {}
        self._repeats = 0

    def build(self, inputs: Any, name: str) -> keras.Model:
        """Return the model.

        Args:
            inputs: Its inputs, in the structure of those of the traces.
            name: Its name.

        Raises:
            Failed: A node cannot be part of it.
        """
        flat = keras.tree.flatten(inputs)
        self._reference = flat[0]
        self._made = dict(zip(map(id, keras.tree.flatten(self._first.inputs)), flat, strict=True))
        for tensor in flat:
            self._names.give((), tensor._keras_history.operation.name)
        self._forget()
        for node, other in zip(self._first.nodes, self._second.nodes, strict=True):
            call = self._first.around.get(id(node))
            try:
                outputs = keras.tree.flatten(self._again(node, other, call))
                check_shapes(outputs, node, other)
            except Failed:
                raise
            except Exception as error:
                raise Failed(call, f"{type(node.operation).__name__}: {reason_of(error, named=False)}") from error
            self._made.update(zip(map(id, node.outputs), outputs, strict=True))
        outputs = keras.tree.map_structure(self._output, self._first.outputs)
        return keras.Model(inputs, outputs, name=name)

    def _output(self, tensor: Any) -> Any:
        if not isinstance(tensor, keras.KerasTensor):
            raise Failed(None, f"the model returns something else than tensors: {tensor!r}")
        return self._tensor(tensor, None)

    def _forget(self) -> None:
        """Layers know only the graph that is made now."""
        for traced in (self._first, self._second):
            for node in traced.nodes:
                _keras.forget_nodes(node.operation)

    def _again(self, node: Any, other: Any, call: Call | None) -> Any:
        path = call.path if call else ()
        arguments = self._arguments(node, other, path)
        operation = node.operation
        if isinstance(operation, keras.Layer):
            if self._only_inference(operation) and at_inference(operation) is None:
                return arguments[0][0]
            if id(operation) not in self._operations:
                self._operations[id(operation)] = operation
                operation.name = self._names.give(path, operation.name)
            return operation(*arguments[0], **arguments[1])
        return self._operation(node, other, path, arguments)

    def _only_inference(self, layer: keras.Layer) -> bool:
        """Whether custom code passes `training=False` to this layer, whatever the call of the model passes."""
        fixed = {fixed_training(node, True) for node in self._second.nodes if node.operation is layer}
        if len(fixed) > 1:
            raise Follows(f"its code calls '{layer.name}' with training=False, and other code does not")
        return False in fixed

    def _operation(self, node: Any, other: Any, path: tuple[str, ...], arguments: Any) -> Any:
        """An operation of `keras.ops`, with settings for any batch size."""
        one, two = _settings(node.operation), _settings(other.operation)
        changed = differing(one, two)
        kind, (args, kwargs) = type(node.operation).__name__, arguments
        if kind == "ConvertToTensor" and isinstance(args[0], keras.KerasTensor) and _same_type(node):
            return args[0]
        name = self._names.give(path, name_of_operation(node.operation))
        if not changed:
            return _named(_keras.copy_operation(node.operation), name)(*args, **kwargs)
        if kind in WAYS:
            tensor = args[0] if args else next(iter(kwargs.values()))
            return WAYS[kind](Following(node, other, self._batches, tensor, self._reference, name))
        raise Follows(f"its settings follow the batch: {', '.join(changed)}")

    def _arguments(self, node: Any, other: Any, path: tuple[str, ...]) -> tuple[Any, Any]:
        pairs = [
            (node.arguments.args, dict(node.arguments.kwargs)),
            (other.arguments.args, dict(other.arguments.kwargs)),
        ]
        for _, kwargs in pairs:
            kwargs.pop("training", None)  # comes from the call of the model
        try:
            keras.tree.assert_same_structure(*pairs)
        except (TypeError, ValueError) as error:
            raise Follows("its arguments follow the batch") from error
        args, kwargs = keras.tree.map_structure(lambda one, two: self._argument(one, two, node, path), *pairs)
        return args, kwargs

    def _argument(self, one: Any, other: Any, node: Any, path: tuple[str, ...]) -> Any:
        if isinstance(one, keras.KerasTensor):
            return self._tensor(one, path, other)
        if isinstance(one, keras.Variable):
            return self._weight(one, path, None)
        if isinstance(one, np.ndarray) or ops.is_tensor(one):
            return self._constant(one, other, path, False)
        if isinstance(one, slice) and isinstance(other, slice):
            return slice_of_any(one, other, self._batches)
        if not same(one, other):
            raise Follows(f"an argument is {one} for one batch size and {other} for another")
        return one

    def _tensor(self, tensor: Any, path: tuple[str, ...] | None, other: Any = None) -> Any:
        if id(tensor) in self._made:
            return self._made[id(tensor)]
        source = self._first.sources.get(id(tensor))
        if isinstance(source, keras.Variable):
            made = self._weight(source, path or (), tensor.dtype)
        elif source is not None:
            made = self._constant(source, self._second.sources.get(id(other)), path or (), True)
        else:
            raise Follows("it reads a tensor that does not come from the inputs")
        self._made[id(tensor)] = made
        return made

    def _weight(self, variable: keras.Variable, path: tuple[str, ...], dtype: Any) -> Any:
        if id(variable) not in self._weights:
            layer = weight_of(variable, self._names.give(path, variable.name), dtype or variable.dtype)
            if id(variable) in self._own:
                _keras.replace_variable(layer, layer.value, variable)
            else:  # the user's: what holds it could not be copied
                layer.value.assign(variable)
            self._weights[id(variable)] = layer(self._reference)
        return self._weights[id(variable)]

    def _constant(self, one: Any, other: Any, path: tuple[str, ...], symbolic: bool) -> Any:
        if other is None:
            raise Follows("a constant is there for one batch size only")
        values, of_batch = array_of_any(one, other, self._batches)
        dtype = keras.backend.standardize_dtype(one.dtype)
        if values.size <= _SMALL and not symbolic and not of_batch:
            return ops.convert_to_tensor(values, dtype)
        tensor = constant_of(values, self._names.give(path, "constant"), dtype)(self._reference)
        if not of_batch:
            return tensor
        return RepeatForBatch(name=self._names.give(path, "repeat"))(tensor, self._reference)


def _same_type(node: Any) -> bool:
    return bool(node.arguments.keras_tensors[0].dtype == node.outputs[0].dtype)


def _settings(operation: Any) -> dict[str, Any]:
    return {key: value for key, value in operation.get_config().items() if key != "name"}


def _named(operation: Any, name: str) -> Callable[..., Any]:
    operation.name = name
    return operation
