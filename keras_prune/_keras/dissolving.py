"""Layers that run their own code on symbolic tensors, so that what is in them makes the nodes of a graph."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras

Run = Callable[[keras.Layer, tuple[Any, ...], dict[str, Any]], Any]


def dissolve(layer: keras.Layer, run: Run, methods: Mapping[str, Any]) -> None:
    """Makes Keras call `run(layer, args, kwargs)` for each call of this layer on symbolic tensors.

    Keras still casts the arguments, fills in masks and `training`, and opens the scopes that it always opens. What
    `run` returns may hold other things than tensors; its tensors keep the place in the graph that they have.

    Args:
        layer: The layer.
        run: The function.
        methods: Methods that the layer has meanwhile in place of those of its class.
    """
    vars(layer).update(_dissolved_by=run, _unfinished=[])
    kind: Any = type(layer)
    object.__setattr__(layer, "__class__", _dissolved(kind, methods))


def solidify(layer: keras.Layer) -> None:
    """Undoes `dissolve`; a layer that is not dissolved stays as it is."""
    vars(layer).pop("_unfinished", None)
    if vars(layer).pop("_dissolved_by", None) is not None:
        object.__setattr__(layer, "__class__", type(layer).__mro__[1])


def _dissolved(kind: Any, methods: Mapping[str, Any]) -> type:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        unfinished: list[Any] = vars(self)["_unfinished"]
        begin = len(unfinished)
        returned = kind.__call__(self, *args, **kwargs)
        if len(unfinished) == begin:  # no symbolic tensor was passed
            return returned
        outputs, histories = unfinished.pop()
        for tensor, history in histories:  # Keras has made a node of the layer itself
            tensor._keras_history = history
        return outputs

    def symbolic_call(self: Any, *args: Any, **kwargs: Any) -> list[Any]:
        unfinished: list[Any] = vars(self)["_unfinished"]  # the layer may be made solid meanwhile
        outputs = vars(self)["_dissolved_by"](self, args, kwargs)
        tensors = [leaf for leaf in keras.tree.flatten(outputs) if isinstance(leaf, keras.KerasTensor)]
        histories = [(tensor, tensor._keras_history) for tensor in tensors if hasattr(tensor, "_keras_history")]
        unfinished.append((outputs, histories))
        return tensors

    own = {"__call__": call, "symbolic_call": symbolic_call, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), {**methods, **own})


_LOCK = threading.RLock()


def _as_tuples(value: Any) -> Any:
    """Shapes among arguments as tuples: those of a class of their own Keras does not keep in a configuration."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(_as_tuples, value))
    return [_as_tuples(each) for each in value] if type(value) is list else value


@contextmanager
def symbolic_operands(attribute: Callable[[Any, str], Any], shape_of: Callable[[Any], Any]) -> Iterator[None]:
    """While this holds, symbolic tensors may stand where custom code has tensors of the backend.

    `tensor[:3]` is what `tensor[:3, ...]` is, as for arrays: Keras takes a slice only in a tuple. `array + tensor` is
    an operation of Keras on JAX too, where arrays come first: JAX leaves an operator to the right operand only if that
    does not say how it becomes an array. Keras's symbolic tensors say so, to raise an error that explains.

    Args:
        attribute: What an attribute is, given the tensor and a name that Keras's symbolic tensors do not have, or have
            with other arguments. It may raise `AttributeError`.
        shape_of: What the shape is, given it as a tuple.
    """
    with _LOCK:
        tensor: Any = keras.KerasTensor
        held = vars(tensor)
        take, shape = tensor.__getitem__, held["shape"]
        forgoes = "__jax_array__" in held and keras.backend.backend() == "jax"
        named = {name: held[name] for name in ("reshape", "squeeze") if name in held}

        def take_any(self: Any, key: Any) -> Any:
            return take(self, (key,) if isinstance(key, slice | type(None) | type(...)) else key)

        def method(name: str) -> Any:
            def call(self: Any, *args: Any, **kwargs: Any) -> Any:
                try:
                    found = attribute(self, name)
                except AttributeError:
                    return named[name](self, *args, **kwargs)
                return found(*args, **kwargs)

            return call

        new = vars(keras.Operation)["__new__"]

        def with_tuples(cls: type, *args: Any, **kwargs: Any) -> Any:
            return new(cls, *_as_tuples(args), **{name: _as_tuples(value) for name, value in kwargs.items()})

        kept = {"__getitem__": take, "shape": shape, **named}
        if forgoes:
            kept["__jax_array__"] = held["__jax_array__"]
        try:
            tensor.__getitem__ = take_any
            tensor.shape = property(lambda self: shape_of(shape.fget(self)), shape.fset)
            tensor.__getattr__ = attribute
            keras.Operation.__new__ = staticmethod(with_tuples)
            for name in named:
                setattr(tensor, name, method(name))
            if forgoes:
                del tensor.__jax_array__
            yield
        finally:
            keras.Operation.__new__ = new
            del tensor.__getattr__
            for name, value in kept.items():
                setattr(tensor, name, value)


def forget_nodes(operation: Any) -> None:
    """Makes an operation forget the graphs that it was used in."""
    operation._inbound_nodes[:] = []
    operation._outbound_nodes[:] = []
