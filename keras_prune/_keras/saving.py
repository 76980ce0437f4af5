"""Models from configurations: in safe mode, and how much memory one would take."""

import contextlib
import functools
import inspect
import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.export import tfsm_layer
from keras.src.layers.preprocessing import index_lookup
from keras.src.legacy.saving import saving_options, saving_utils
from keras.src.saving import serialization_lib
from keras.src.utils import torch_utils

_BYTES = 4  # of a number, whatever its type


@contextlib.contextmanager
def safe_mode(safe: bool | None = True) -> Iterator[None]:
    """While this holds, Keras makes no object that runs code from a file or opens another file, whoever asks for it.

    `safe_mode=True` in a call is weaker: it ends where a class makes parts of its own, and Keras's setting
    `enable_unsafe_deserialization` turns it off. That setting counts here with None.
    """
    safe = _is_safe() if safe is None else safe
    with serialization_lib.SafeModeScope(safe), _refused() if safe else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """While this holds, Keras refuses what its later versions refuse in safe mode themselves."""
    with contextlib.ExitStack() as stack:
        for kind, method, is_file, what in _UNCHECKED:
            own = inspect.getattr_static(kind, method)
            setattr(kind, method, _guarded(own, is_file, what))
            stack.callback(setattr, kind, method, own)
        yield


def _guarded(method: Any, is_file: Callable[..., bool], what: str) -> Any:
    bare = getattr(method, "__func__", method)

    @functools.wraps(bare)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        if is_file(*args, **kwargs):
            raise ValueError(f"Loading {what} is refused: it may run code, or open files. Received: safe_mode=True")
        return bare(self, *args, **kwargs)

    return classmethod(guarded) if isinstance(method, classmethod) else guarded


def _unchecked() -> Iterator[tuple[type, str, Callable[..., bool], str]]:
    """Methods that open other files or unpickle, with the arguments for which they do, if Keras does not ask whether it
    is in safe mode: vocabularies before 3.12, saved models before 3.13, modules of PyTorch before 3.11."""
    if not hasattr(index_lookup, "serialization_lib"):

        def names_a_file(vocabulary: Any = None, *_: Any, **__: Any) -> bool:
            return isinstance(vocabulary, str)

        yield index_lookup.IndexLookup, "set_vocabulary", names_a_file, "a vocabulary file"
    if not hasattr(tfsm_layer, "serialization_lib"):
        yield tfsm_layer.TFSMLayer, "__init__", lambda *_, **__: True, "a TFSMLayer"
    if not hasattr(torch_utils, "in_safe_mode"):
        yield torch_utils.TorchModuleWrapper, "from_config", lambda *_, **__: True, "a torch.nn.Module"


_UNCHECKED = tuple(_unchecked())


def _is_safe() -> bool:
    return serialization_lib.in_safe_mode() is not False


def model_of_keras_2(config: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> Any:
    """A model from a configuration of an `.h5` file. The configuration is changed."""
    with saving_options.keras_option_scope(use_legacy_config=True):
        return saving_utils.model_from_config(config, custom_objects=dict(custom_objects))


@contextlib.contextmanager
def unnoticed() -> Iterator[None]:
    """What is made while this holds takes none of the names and random numbers that Keras gives to what comes later."""
    names = dict(global_state.get_global_attribute("object_name_uids") or {})
    numbers = random.getstate()  # seeds of initializers
    try:
        yield
    finally:
        given = global_state.get_global_attribute("object_name_uids")
        if given is not None:
            given.clear()
            given.update(names)
        random.setstate(numbers)


def bytes_of_variables(build: Callable[[], object]) -> int:
    """The memory that the variables would take which a function creates; none of it is taken.

    Where Keras cannot tell, since a layer needs the values of its variables to be built, it is that of the variables
    before it. What the function makes is not to be used. Names that Keras gives, and random numbers, are as before.
    """
    waiting = global_state.get_global_attribute("uninitialized_variables") or []
    global_state.set_global_attribute("uninitialized_variables", [])
    try:
        with unnoticed(), keras.StatelessScope(initialize_variables=False), contextlib.suppress(Exception):
            build()
        found = global_state.get_global_attribute("uninitialized_variables") or []
        return sum(math.prod(variable.shape) * _BYTES for variable in found)
    finally:
        global_state.set_global_attribute("uninitialized_variables", waiting)


def share_in_file(layer: keras.Layer, config: dict[str, Any]) -> None:
    """Marks the configuration of a layer, if it is for a file, so that all that hold the layer get one when it is read.

    Keras marks a configuration when it meets the layer again; that of a wrapped layer has been copied by then.
    """
    if global_state.get_global_attribute("shared_objects/id_to_config_map") is not None:
        config["shared_object_id"] = id(layer)
