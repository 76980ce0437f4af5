"""Custom code whose calls of functions of a backend are sent to `keras.ops` when a tensor is symbolic.

The methods of a class are made again over copies of the modules that they were written in, in which the modules of a
backend, and functions of theirs, are replaced. Nothing of the user's is changed.
"""

import functools
import types
from collections.abc import Callable
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.expansion.backend_functions import counterpart

_FAMILIES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}


class Shadow:
    """Makes methods again. What it made of a module's names is made once."""

    def __init__(self) -> None:
        self._globals: dict[int, dict[str, Any]] = {}
        self._begun: set[int] = set()

    def methods(self, kind: type) -> dict[str, Any]:
        """The methods of a class whose code calls functions of a backend, its own and inherited ones, made again."""
        found: dict[str, Any] = {}
        for base in reversed(kind.__mro__):
            if base is object or _keras.is_of_keras(base) or _family(base.__module__):
                continue
            for name, held in vars(base).items():
                made = None if name.startswith("__") else self._method(held)
                if made is not None:
                    found[name] = made
                else:
                    found.pop(name, None)
        return found

    def function(self, function: Any) -> Any:
        """A function made again, or itself if its code calls no function of a backend. One of a backend is sent."""
        return self._function(function) or self._replaced(function)

    def _method(self, held: Any) -> Any:
        if isinstance(held, staticmethod | classmethod):
            made = self._function(held.__func__)
            return None if made is None else type(held)(made)
        if isinstance(held, property) and held.fget is not None:
            made = self._function(held.fget)
            return None if made is None else property(made, held.fset, held.fdel)
        return self._function(getattr(held, "python_function", held))  # of a `tf.function` the code

    def _function(self, function: Any) -> types.FunctionType | None:
        """The function over other names; None, if none of the names around it, or in its closure, are of a backend."""
        if not isinstance(function, types.FunctionType) or id(function) in self._begun or _family(function.__module__):
            return None
        self._begun.add(id(function))  # it may close over itself
        try:
            names, cells = self._names(function.__globals__), self._cells(function.__closure__ or ())
        finally:
            self._begun.discard(id(function))
        if names is None and cells is None:
            return None
        again = types.FunctionType(
            function.__code__,
            function.__globals__ if names is None else names,
            function.__name__,
            function.__defaults__,
            function.__closure__ if cells is None else cells,
        )
        again.__kwdefaults__ = function.__kwdefaults__
        return again

    def _cells(self, closure: tuple[types.CellType, ...]) -> tuple[types.CellType, ...] | None:
        """What a function closes over, with what belongs to a backend replaced; None, if nothing does."""
        found = []
        for cell in closure:
            try:
                held = cell.cell_contents
            except ValueError:  # not yet assigned
                found.append(cell)
                continue
            replaced = self.function(held)
            found.append(cell if replaced is held else types.CellType(replaced))
        return None if all(one is other for one, other in zip(found, closure, strict=True)) else tuple(found)

    def _names(self, held: dict[str, Any]) -> dict[str, Any] | None:
        """The names of a module with what belongs to a backend replaced; None, if nothing does."""
        if id(held) in self._globals:
            return self._globals[id(held)] or None
        self._globals[id(held)] = {}
        replaced = {name: self._replaced(value) for name, value in held.items()}
        changed = {name: value for name, value in replaced.items() if value is not held[name]}
        if not changed:
            return None
        names = self._globals[id(held)]
        names.update(held)
        names.update(changed)
        for name, value in held.items():  # functions beside it that call them, too
            if isinstance(value, types.FunctionType) and value.__globals__ is held:
                names[name] = self._function(value) or value
        return names

    def _replaced(self, value: Any) -> Any:
        if isinstance(value, types.ModuleType):
            family = _family(value.__name__)
            return Module(value, family, "") if family and value.__name__ != "keras" else value
        if not callable(value) or isinstance(value, type | keras.Layer) or hasattr(value, "variables"):
            return value
        family = _family(getattr(value, "__module__", None) or "")
        return sent(value, family, _name_of(value)) if family else value


class Module:
    """A module of a backend whose functions are sent to `keras.ops` when an argument is symbolic.

    Args:
        module: The module.
        family: The backend.
        prefix: What the names in it begin with: `"nn."`.
    """

    def __init__(self, module: types.ModuleType, family: str, prefix: str):
        self._module, self._family, self._prefix = module, family, prefix

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if isinstance(value, types.ModuleType):
            within = _family(value.__name__) == self._family and "keras" not in value.__name__
            return Module(value, self._family, f"{self._prefix}{name}.") if within else value
        if (
            isinstance(value, type)
            or not callable(value)
            or (getattr(value, "__module__", "") or "").startswith("keras")
        ):
            return value
        return sent(value, self._family, f"{self._prefix}{name}")


def sent(function: Callable[..., Any], family: str, name: str) -> Callable[..., Any]:
    """The function; on symbolic tensors its counterpart in `keras.ops`."""

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(leaf, keras.KerasTensor) for leaf in keras.tree.flatten((args, kwargs))):
            return function(*args, **kwargs)
        found = counterpart(family, name)
        if found is None:
            raise NotImplementedError(f"it calls '{name}' of {family}, which has no counterpart in keras.ops")
        return found(*args, **kwargs)

    return call


def _name_of(function: Any) -> str:
    """The name of a function that was imported by itself."""
    names = getattr(function, "_tf_api_names", None) or (getattr(function, "__name__", ""),)
    return str(names[0])


def _family(module: str | None) -> str:
    return _FAMILIES.get((module or "").split(".")[0], "")
