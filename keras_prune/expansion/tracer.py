"""Runs a model on symbolic tensors so that its custom layers come apart: their code runs and leaves nodes.

Everything is done to a copy of the model. What a custom layer holds itself, its weights, is replaced by symbolic
tensors meanwhile; a layer that is called on constants alone becomes a node as well. A custom layer whose code cannot
run on symbolic tensors stays one layer, with the reason.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.expansion.dropout import as_dropout
from keras_prune.expansion.losses import add_losses, losses_kept
from keras_prune.expansion.open_sizes import fill_sizes
from keras_prune.expansion.parts import is_leaf, parts_of
from keras_prune.expansion.reasons import reason_of
from keras_prune.expansion.shadow import Shadow
from keras_prune.expansion.sources import Source, only_masks
from keras_prune.expansion.tensor_methods import Sizes, attribute
from keras_prune.expansion.traced import Call, Traced, ordered

_KEPT_BY_KERAS = frozenset({"_trainable_variables", "_non_trainable_variables", "_layers", "_metrics", "_tracker"}) | {
    "_seed_generators",
    "_inbound_nodes",
    "_outbound_nodes",
    "_modules",
    "_parameters",
    "_losses",
    "_loss_ids",
}


class Tracer:
    """Traces a model several times.

    Args:
        model: A copy of the user's model, which only this tracer uses.

    Attributes:
        model: The copy.
        whole: The layers that stay whole, by identity, and why.
        replaced: Those that a layer of Keras stands for, by identity.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self.whole: dict[int, str] = {}
        self.replaced: dict[int, keras.Layer] = {}
        self._undo: dict[int, list[Callable[[], None]]] = {}
        self._shadow = Shadow()
        self._methods: dict[type, dict[str, Any]] = {}
        self._stack: list[Call] = []
        self._begun = 0
        self._calls: list[Call] = []
        self._around: dict[int, Call] = {}
        self._sources: dict[int, Any] = {}
        self._placeholders: dict[int, Any] = {}
        self._alive: list[Any] = []
        self._hidden: dict[int, tuple[keras.Layer, list[tuple[Any, Any, int]]]] = {}

    @property
    def decided(self) -> int:
        """How many layers stay whole, or are replaced: traces before and after another one differ."""
        return len(self.whole) + len(self.replaced)

    def trace(self, inputs: Any, training: bool | None) -> Traced:
        """Run the model on symbolic inputs.

        Args:
            inputs: They, as the model takes them.
            training: As in a call of the model.

        Raises:
            ValueError: The code of the model itself cannot run on symbolic tensors.
        """
        self._calls, self._around, self._sources, self._placeholders, self._alive = [], {}, {}, {}, []
        with self._apart(), _keras.symbolic_operands(attribute, Sizes):
            outputs = self.model(inputs, training=training)
        nodes = ordered(outputs, self._sources)
        return Traced(inputs, outputs, nodes, self._calls, self._around, self._sources)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """While this holds, calls of custom layers on symbolic tensors run their code."""
        custom, leaves = parts_of(self.model, self.whole)
        try:
            for layer in custom:
                self._release_later(layer, self._take_apart(layer))
            for layer in leaves:
                self._release_later(layer, self._take_leaf(layer))
            yield
        finally:
            for number in list(self._undo):
                self._release(number)
            self._stack.clear()

    def _release_later(self, layer: keras.Layer, undo: Callable[[], None]) -> None:
        self._undo.setdefault(id(layer), []).append(undo)

    def _release(self, number: int) -> None:
        for undo in reversed(self._undo.pop(number, [])):
            undo()

    def _take_apart(self, layer: keras.Layer) -> Callable[[], None]:
        restore = self._hide_variables(layer)
        functions = self._send_functions(layer)
        _keras.dissolve(layer, self._run, self._methods_of(type(layer)))

        def undo() -> None:
            _keras.solidify(layer)
            restore()
            vars(layer).update(functions)

        return undo

    def _send_functions(self, layer: keras.Layer) -> dict[str, Any]:
        """Has functions that a layer holds, as activations, sent to `keras.ops`; returns those that it held."""
        held = vars(layer)
        functions = {key: value for key, value in held.items() if callable(value) and key[:1] != "_"}
        sent = {key: self._shadow.function(value) for key, value in functions.items()}
        changed = {key: functions[key] for key, value in sent.items() if value is not functions[key]}
        held.update((key, sent[key]) for key in changed)
        return changed

    def _methods_of(self, kind: type) -> dict[str, Any]:
        if kind not in self._methods:
            self._methods[kind] = self._shadow.methods(kind)
        return self._methods[kind]

    def _take_leaf(self, layer: keras.Layer) -> Callable[[], None]:
        """A leaf's weights may be read by the code around it; called on constants alone, it becomes a node."""
        original, held = layer.call, vars(layer)
        state: dict[str, Any] = {"restore": self._hide_variables(layer)}

        def call(*args: Any, **kwargs: Any) -> Any:
            arrays = [leaf for leaf in keras.tree.flatten((args, kwargs)) if _is_array(leaf)]
            if not arrays or not layer.variables:
                return original(*args, **kwargs)
            args, kwargs = keras.tree.map_structure(self._as_source, (args, kwargs))
            return layer(*args, **kwargs)

        def symbolic_call(*args: Any, **kwargs: Any) -> Any:
            shown()
            fill_sizes(layer, args)
            try:
                return type(layer).symbolic_call(layer, *args, **kwargs)
            finally:
                hidden()

        def hidden() -> None:
            state["restore"] = self._hide_variables(layer)
            held.update(call=call, symbolic_call=symbolic_call)

        def shown() -> None:
            state["restore"]()
            held.pop("call", None), held.pop("symbolic_call", None)

        held.update(call=call, symbolic_call=symbolic_call)
        return shown

    def _as_source(self, leaf: Any) -> Any:
        """A symbolic tensor that stands for an array."""
        if not _is_array(leaf):
            return leaf
        return self._source(ops.convert_to_numpy(leaf), tuple(leaf.shape), keras.backend.standardize_dtype(leaf.dtype))

    def _source(self, stands_for: Any, shape: tuple[int, ...], dtype: str) -> Any:
        tensor = Source(shape, dtype=dtype, assign=self._assign)
        self._sources[id(tensor)] = stands_for
        self._alive.append(tensor)
        return tensor

    def _hide_variables(self, layer: keras.Layer) -> Callable[[], None]:
        """Puts symbolic tensors where the attributes of a layer hold variables."""
        changed: list[tuple[Any, Any, Any]] = []

        def visit(held: Any, key: Any, value: Any, depth: int) -> None:
            if isinstance(value, keras.random.SeedGenerator):
                changed.append((held, key, value))
                _set(held, key, RANDOM)
            elif isinstance(value, keras.Variable):
                changed.append((held, key, value))
                _set(held, key, self._placeholder(value, layer))
            elif type(value) in _LISTS and depth < 4:
                for index, each in enumerate(list(value)):
                    visit(value, index, each, depth + 1)
            elif type(value) in _DICTS and depth < 4:
                for name, each in list(value.items()):
                    visit(value, name, each, depth + 1)

        for key, value in list(vars(layer).items()):
            if key not in _KEPT_BY_KERAS:
                visit(vars(layer), key, value, 0)
        places = [(held, key, id(value)) for held, key, value in changed if isinstance(value, keras.Variable)]
        self._hidden[id(layer)] = (layer, places)

        def restore() -> None:
            self._hidden.pop(id(layer), None)
            for held, key, value in changed:
                _set(held, key, value)

        return restore

    def _assign(self, source: Any, value: Any) -> Any:
        """Custom code gives a weight another value: what reads it from now on, layers of Keras too, reads that.

        Raises:
            ValueError: The weight would differ from call to call.
        """
        variable = self._sources[id(source)]
        if not isinstance(variable, keras.Variable) or not only_masks(source, value, self._sources):
            raise ValueError("it changes its weights when it is called")
        for layer, places in list(self._hidden.values()):
            held_here = [(held, key) for held, key, weight in places if weight == id(variable)]
            if not held_here:
                continue
            if is_leaf(layer):
                if id(layer) in self.whole:
                    raise ValueError("it changes its weights when it is called")
                vars(layer).pop("call", None), vars(layer).pop("symbolic_call", None)
                _keras.dissolve(layer, self._run, {})
                self._release_later(layer, partial(_keras.solidify, layer))
            for held, key in held_here:
                _set(held, key, value)
        return value

    def _placeholder(self, variable: keras.Variable, layer: keras.Layer) -> Any:
        floating = keras.backend.is_float_dtype(variable.dtype)
        dtype = layer.compute_dtype if floating else keras.backend.standardize_dtype(variable.dtype)
        found = self._placeholders.get(id(variable))
        if found is None:
            found = self._placeholders[id(variable)] = self._source(variable, tuple(variable.shape), dtype)
        return found

    def _run(self, layer: keras.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a custom layer computes: its code, or if that fails the layer as a whole."""
        replaced = self.replaced.get(id(layer))
        if replaced is not None:
            return replaced(args[0] if args else next(iter(kwargs.values())))
        path = (*(self._stack[-1].path if self._stack else ()), *([layer.name] if layer is not self.model else []))
        tensors = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, keras.KerasTensor)]
        call = Call(layer, path, self._begun, len(tensors[0].shape))
        self._begun += 1
        self._stack.append(call)
        try:
            with losses_kept(layer) as losses:
                outputs = add_losses(losses, layer.call(*args, **kwargs))
        except Exception as error:
            if layer is self.model:
                raise ValueError(reason_of(error)) from error
            reason = self.whole[id(layer)] = reason_of(error)
            for part in _keras.flatten(layer):
                self._release(id(part))
            dropout = as_dropout(layer, call.rank) if len(tensors) == 1 else None
            if dropout is not None:
                del self.whole[id(layer)]
                self.replaced[id(layer)] = dropout
                return dropout(tensors[0])
            try:  # as one node; Keras's own call, which we are in, makes none, since the layer was dissolved
                return layer(*args, **kwargs)
            except Exception:
                raise ValueError(f"{type(layer).__name__} '{layer.name}': {reason}") from error
        finally:
            self._stack.pop()
        self._note(call, outputs, (args, kwargs))
        return outputs

    def _note(self, call: Call, outputs: Any, given: Any) -> None:
        """Notes which nodes the code of a call made: those up to its outputs that no call in it made."""
        stop = {id(leaf) for leaf in keras.tree.flatten(given) if isinstance(leaf, keras.KerasTensor)}
        todo = [leaf for leaf in keras.tree.flatten(outputs) if isinstance(leaf, keras.KerasTensor)]
        while todo:
            tensor = todo.pop()
            made = None if id(tensor) in stop else _keras.made_by(tensor)
            stop.add(id(tensor))
            if made is None or made[1].is_input:
                continue
            owner = self._around.get(id(made[1]))
            if owner is None:
                self._around[id(made[1])] = call
                call.operations.append(made[1])
            elif owner.number < call.number:  # made before this call began
                continue
            todo += made[1].arguments.keras_tensors
        self._calls.append(call)


class _Refusing(keras.random.SeedGenerator):
    """A generator of seeds that draws none: what is random cannot be written out."""

    def __init__(self) -> None:
        pass

    def next(self, ordered: bool = True) -> Any:
        raise ValueError("it draws random numbers")


RANDOM = _Refusing()
_LISTS = (list, *[kind for kind in _keras.COLLECTIONS if issubclass(kind, list)])
_DICTS = (dict, *[kind for kind in _keras.COLLECTIONS if issubclass(kind, dict)])


def _set(held: Any, key: Any, value: Any) -> None:
    if isinstance(held, list):
        list.__setitem__(held, key, value)
    else:
        dict.__setitem__(held, key, value)


def _is_array(leaf: Any) -> bool:
    if isinstance(leaf, keras.KerasTensor | keras.Variable):
        return False
    return isinstance(leaf, np.ndarray) or ops.is_tensor(leaf)
