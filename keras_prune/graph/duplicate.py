"""The copy of a layer as it is: what it holds is passed on, and neither its constructor nor `build` runs.

A configuration says only what a layer's class chose to say, and only to those who can read it: numbers drawn when the
layer was made, functions, unregistered classes and settings made later are lost on the way. So the attributes are
copied. Variables become new ones of the same values, layers inside are copied likewise; containers, arrays and what
else can change are copied, and what cannot (functions, initializers, policies, tables) is shared.
"""

import copy
import functools
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_prune import _keras

# Whose objects are shared, except those that are named in `_Duplicator`.
_SHARED = (
    frozenset({"jax", "jaxlib", "flax", "keras", "numpy", "tensorflow", "tensorflow_text"}) | sys.stdlib_module_names
)
_ATOMS = (type(None), bool, int, float, complex, str, bytes, type, types.ModuleType, types.BuiltinFunctionType)


def duplicate(layer: keras.Layer) -> keras.Layer:
    """Return a layer of the same class that holds copies of what this one holds: it shares no variable with it.

    It is built if the layer is, and belongs to no graph.

    Args:
        layer: The layer.

    Raises:
        ValueError: Something that it holds cannot be copied.
    """
    return Duplicates().duplicate(layer)


def duplicator(layer: keras.Layer, copies: Mapping[int, Any]) -> Callable[[Any], Any]:
    """Return a function that copies what a layer holds, where parts of it were copied already.

    Args:
        layer: The layer.
        copies: The copies of these parts, by the `id` of the original.
    """
    return _Duplicator([*_keras.flatten(layer), *layer.variables], copies)


class Duplicates:
    """Copies of several layers of a model, made with `duplicate`. What two of them hold, such as a tied weight or a
    layer, their copies hold together too.

    Args:
        model: The model. Functions that use its layers, such as those of `Lambda`, use the copies then. Defaults to
            None: each layer is copied with the parts of its own.
    """

    def __init__(self, model: keras.Model | None = None):
        parts: list[Any] = [] if model is None else [*_keras.flatten(model), *model.variables]
        self._duplicator = _Duplicator(part for part in parts if not isinstance(part, keras.Model))

    @property
    def copies(self) -> Mapping[int, Any]:
        """The copies so far by the `id` of the original."""
        return self._duplicator.copies

    def duplicate(self, layer: keras.Layer) -> keras.Layer:
        """Return the copy of a layer: see the function of this name.

        Raises:
            ValueError: Something that it holds cannot be copied.
        """
        before = len(self._duplicator.copies)
        try:
            return self._duplicator.duplicate(layer)
        except Exception as error:  # whatever the classes of what it holds raise
            self._duplicator.forget(before)
            raise error if type(error) is ValueError else ValueError(f"{type(error).__name__}: {error}") from error


class _Duplicator:
    """Copies what layers hold; what is met twice stays one thing.

    Args:
        owned: The layers and variables that functions are searched for.
        copies: Copies that were made already, by the `id` of the original. Defaults to None: there are none.
    """

    def __init__(self, owned: Iterable[Any], copies: Mapping[int, Any] | None = None):
        self.copies: dict[int, Any] = dict(copies or {})
        self._alive: list[Any] = []  # so that no identity is given twice
        self._owned = {id(each) for each in owned}

    def duplicate(self, layer: keras.Layer) -> keras.Layer:
        self._owned |= {id(each) for each in [*_keras.flatten(layer), *layer.variables]}
        twin: keras.Layer = self(layer)
        old, new = layer.variables, twin.variables
        if [each.path for each in old] != [each.path for each in new] or {id(each) for each in old} & {*map(id, new)}:
            raise ValueError("its variables are not those that its attributes hold")
        return twin

    def forget(self, count: int) -> None:
        """Forgets all copies after the first `count`."""
        for key in list(self.copies)[count:]:
            del self.copies[key]

    def __call__(self, thing: Any) -> Any:
        if isinstance(thing, _ATOMS):
            return thing
        if id(thing) in self.copies:
            return self.copies[id(thing)]
        return self._note(thing, self._method(thing)(thing))

    def _note(self, thing: Any, copied: Any) -> Any:
        self._alive.append(thing)
        self.copies[id(thing)] = copied
        return copied

    def _method(self, thing: Any) -> Callable[[Any], Any]:
        """What copies such a thing."""
        for kinds, method in self._methods.items():
            if isinstance(thing, kinds):
                return functools.partial(method, self)
        family = type(thing).__module__.split(".")[0]
        if family == "torch" or (family == "tensorflow" and hasattr(thing, "assign_add")):  # its tensors, its variables
            return _copy_of_backend
        if type(thing).__name__ == "TrackableReference":  # by which TensorFlow's checkpoints find variables
            return self._dependency
        return self._object if hasattr(thing, "__dict__") and family not in _SHARED else _share

    def _layer(self, layer: keras.Layer) -> Any:
        if not _keras.can_duplicate(layer):
            raise ValueError(f"a {type(layer).__name__} is copied through its configuration")
        if isinstance(layer, _keras.FUNCTIONAL):
            return self._functional(layer)
        twin = self._note(layer, _keras.empty_instance(layer))
        inner = getattr(layer, "_functional", None)
        if isinstance(inner, _keras.FUNCTIONAL):  # of a Sequential: the input layers in both are the same
            self(inner)
        for key, value in _keras.kept_attributes(layer).items():
            vars(twin)[key] = self(value)
        return twin

    def _functional(self, model: keras.Model) -> Any:
        """Its graph is made again: a layer knows its place in it."""
        inputs = keras.tree.map_structure(self._input, _keras.input_structure(model))
        outputs = _keras.run_graph(model, inputs, lambda node: self._operation(node.operation))
        twin = self._note(model, _keras.functional_again(model, inputs, outputs))
        held = vars(twin)
        for key, value in _keras.kept_attributes(model).items():
            if key not in held:
                setattr(twin, key, self(value))
        twin._layers[:] = [self(layer) for layer in model._layers]
        _keras.forget_parameters(twin)
        if not model.trainable:
            twin.trainable = False
        return twin

    def _input(self, tensor: Any) -> Any:
        made = _keras.copy_input(tensor)
        self._note(tensor._keras_history.operation, made._keras_history.operation)
        return made

    def _operation(self, operation: Any) -> Any:
        if isinstance(operation, keras.Layer):
            return self(operation)
        if id(operation) not in self.copies:
            self._note(operation, _keras.copy_operation(operation))
        return self.copies[id(operation)]

    def _variable(self, variable: keras.Variable) -> keras.Variable:
        # A copy of the values: on JAX a shared array would be donated, and lost, by training one.
        return _keras.duplicate_variable(variable, np.array(ops.convert_to_numpy(variable.value)))

    def _tracking(self, collection: Any) -> Any:
        twin = self._note(collection, type(collection)())
        _keras.fill_collection(collection, twin, self)
        return twin

    def _tracked(self, thing: Any) -> Any:
        """A tracker, a generator of seeds or a metric: Keras's objects that hold variables."""
        twin = self._note(thing, object.__new__(type(thing)))
        if _keras.is_tracker(thing):
            _keras.fill_tracker(thing, twin, self)
        else:
            for key, value in vars(thing).items():
                vars(twin)[key] = self(value)
        return twin

    def _optimizer(self, optimizer: keras.optimizers.Optimizer) -> Any:
        return self._note(optimizer, type(optimizer).from_config(optimizer.get_config()))

    def _list(self, things: list[Any]) -> Any:
        twin = self._note(things, [] if type(things) is list else copy.copy(things))
        twin[:] = [self(each) for each in things]
        return twin

    def _dict(self, things: dict[Any, Any]) -> Any:
        twin = self._note(things, {} if type(things) is dict else copy.copy(things))
        twin.clear()
        for key, value in things.items():
            twin[self(key)] = self(value)
        return twin

    def _set(self, things: Any) -> Any:
        return type(things)(self(each) for each in things)

    def _tuple(self, things: Any) -> Any:
        copied = [self(each) for each in things]
        if all(one is other for one, other in zip(things, copied, strict=True)):
            return things
        return type(things)(*copied) if hasattr(things, "_fields") else type(things)(copied)

    def _array(self, array: np.ndarray) -> np.ndarray:
        return array.copy()

    def _function(self, function: types.FunctionType) -> Any:
        """The same function, but of the copies if it closes over parts of the layer. It may close over itself."""
        if not self._holds_parts(function, set()):
            return function
        old = function.__closure__ or ()
        owned = [self._cell_holds_parts(cell, {id(function)}) for cell in old]
        cells = tuple(types.CellType() if copied else cell for cell, copied in zip(old, owned, strict=True))
        twin = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, cells
        )
        self._note(function, twin)
        for cell, new in zip(old, cells, strict=True):
            if new is not cell:
                new.cell_contents = self(cell.cell_contents)
        vars(twin).update(vars(function))
        twin.__kwdefaults__, twin.__qualname__ = function.__kwdefaults__, function.__qualname__
        return twin

    def _holds_parts(self, held: Any, seen: set[int]) -> bool:
        """Whether this is a part of the layer, or a function that closes over one; decorators close over themselves."""
        if isinstance(held, types.MethodType):
            return not isinstance(held.__self__, type)
        if not isinstance(held, types.FunctionType):
            return id(held) in self._owned
        if id(held) in seen:
            return False
        seen.add(id(held))
        return any(self._cell_holds_parts(cell, seen) for cell in held.__closure__ or ())

    def _cell_holds_parts(self, cell: types.CellType, seen: set[int]) -> bool:
        try:
            return self._holds_parts(cell.cell_contents, seen)
        except ValueError:  # not yet assigned
            return False

    def _bound(self, method: types.MethodType) -> Any:
        owner = method.__self__
        return types.MethodType(self(method.__func__), self(owner)) if not isinstance(owner, type) else method

    def _partial(self, made: functools.partial) -> Any:
        return type(made)(self(made.func), *self(made.args), **self(made.keywords))

    def _reference(self, reference: Any) -> Any:
        held = reference()
        return weakref.ref(self(held)) if id(held) in self._owned | self.copies.keys() else reference

    def _dependency(self, reference: Any) -> Any:
        return type(reference)(reference.name, self(reference.ref))

    def _random(self, generator: Any) -> Any:
        return copy.deepcopy(generator)

    def _object(self, thing: Any) -> Any:
        """An object of the user's: itself, if it holds nothing that is copied."""
        try:
            twin = self._note(thing, copy.copy(thing))
        except Exception:  # its class allows no copies
            return thing
        if not hasattr(twin, "__dict__"):
            return thing
        held = {key: self(value) for key, value in vars(thing).items()}
        if all(value is vars(thing)[key] for key, value in held.items()):
            return self._note(thing, thing)
        vars(twin).update(held)
        return twin

    _methods: ClassVar[dict[Any, Callable[..., Any]]] = {
        keras.Layer: _layer,
        keras.Variable: _variable,
        _keras.COLLECTIONS: _tracking,
        _keras.TRACKED: _tracked,
        keras.optimizers.Optimizer: _optimizer,
        types.FunctionType: _function,
        types.MethodType: _bound,
        functools.partial: _partial,
        weakref.ref: _reference,
        list: _list,
        dict: _dict,
        (set, frozenset): _set,
        tuple: _tuple,
        np.ndarray: _array,
        (np.random.Generator, np.random.RandomState): _random,
    }


def _copy_of_backend(thing: Any) -> Any:
    try:
        return copy.deepcopy(thing)
    except RuntimeError:  # a tensor in the middle of a computation
        return thing.detach().clone()


def _share(thing: Any) -> Any:
    return thing
