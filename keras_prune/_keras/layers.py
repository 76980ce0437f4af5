"""Layers, operations and variables."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src import applications, backend
from keras.src import ops as operations
from keras.src.activations import activations
from keras.src.saving.serialization_lib import SafeModeScope


def sublayers(layer: keras.Layer) -> list[keras.Layer]:
    """The layers that `layer` holds directly, in the order in which it got them."""
    return list(layer._layers)


def has_default_build(layer: keras.Layer) -> bool:
    """Whether the layer's class does not implement `build`: its sublayers are then built by calling it."""
    return getattr(layer.build, "_is_default", False)


def has_unbuilt_state(layer: keras.Layer) -> bool:
    """Whether some sublayer still lacks its variables, though Keras may call the layer itself built."""
    inner = layer._flatten_layers(include_self=False)
    return has_default_build(layer) and not all(sublayer.built for sublayer in inner)


def set_build_signature(layer: keras.Layer, signature: inspect.Signature) -> None:
    """Makes Keras pass the shapes that `signature` names to the `build` of this layer."""
    layer.build.__signature__ = signature  # Keras wraps `build` for each instance, so this touches one layer only


def convert_inputs_like(wrapper: keras.Layer, layer: keras.Layer) -> None:
    """Makes `wrapper` convert, cast and accept its inputs just as `layer` does."""
    wrapper.autocast = layer.autocast
    wrapper._convert_input_args = layer._convert_input_args
    wrapper._allow_non_tensor_positional_args = layer._allow_non_tensor_positional_args


def copy_input_shape(source: keras.Layer, target: keras.Layer) -> None:
    """Copies the argument `input_shape` that the first layer of a Sequential may have."""
    shape = getattr(source, "_input_shape_arg", None)
    if shape is not None:
        target._input_shape_arg = shape


@contextmanager
def unlocked(layer: keras.Layer) -> Iterator[None]:
    """While this holds, a built layer can get more state, as Keras itself does to quantise or to add LoRA weights."""
    locked = layer._tracker.locked
    layer._tracker.unlock()
    try:
        yield
    finally:
        if locked:
            layer._tracker.lock()


def remove_sublayer(layer: keras.Layer, name: str) -> None:
    """Removes the sublayer held as attribute `name`, and its variables, from a built layer."""
    with unlocked(layer):
        layer._tracker.untrack(getattr(layer, name))
        delattr(layer, name)


def untrack(layer: keras.Layer, *variables: keras.Variable) -> None:
    """Removes variables from a built layer."""
    for variable in variables:
        layer._untrack_variable(variable)


def track_again(layer: keras.Layer) -> None:
    """Brings what PyTorch knows of the variables in a layer up to date, after some were added or removed inside it."""
    if keras.backend.backend() == "torch":
        for part in layer._flatten_layers():
            if hasattr(part, "_torch_params"):
                part._track_variables()


def attributes(layer: keras.Layer) -> dict[str, object]:
    """The attributes of a layer by name. PyTorch keeps those that are layers apart."""
    return vars(layer) | vars(layer).get("_modules", {})


def flatten(layer: keras.Layer) -> list[keras.Layer]:
    """The layer and all layers in it, parents first."""
    return layer._flatten_layers()


def mask_of(tensor: Any) -> Any:
    """The mask that is attached to a tensor; None if there is none."""
    return backend.get_keras_mask(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Attaches a mask to a tensor."""
    backend.set_keras_mask(tensor, mask)


def copy_lambda(layer: keras.layers.Lambda) -> keras.layers.Lambda:
    """A new `Lambda` of the same function. (Its configuration holds code, which Keras rightly refuses to load.)"""
    return type(layer)(
        layer.function,
        output_shape=layer._output_shape,
        mask=layer.mask,
        arguments=layer.arguments,
        **_of_every_layer(layer),
    )


def copy_jax_layer(layer: keras.layers.JaxLayer) -> keras.layers.JaxLayer:
    """A new layer of the same functions of JAX and parameters of the same values (which no configuration has)."""
    given = keras.tree.map_structure(_copied, {"params": layer.params, "state": layer.state})
    return type(layer)(
        layer.call_fn,
        init_fn=layer.init_fn,
        native_serialization_platforms=layer.jax2tf_native_serialization_platforms,
        **given,
        **_of_every_layer(layer),
    )


def _of_every_layer(layer: keras.Layer) -> dict[str, object]:
    return {"name": layer.name, "dtype": layer.dtype_policy, "trainable": layer.trainable}


def _copied(leaf: object) -> object:
    return keras.ops.convert_to_numpy(leaf) if isinstance(leaf, keras.Variable) else leaf


@contextmanager
def trusted() -> Iterator[None]:
    """While this holds, layers are made from configurations that hold code: those of layers that are here already."""
    with SafeModeScope(False):
        yield


def as_numpy(variable: keras.Variable) -> np.ndarray:
    """The variable's values as a read-only array, without a copy where the backend can share its memory."""
    value = variable.value
    tensor = value.read_value() if hasattr(value, "read_value") else keras.ops.stop_gradient(value)
    try:
        array = np.from_dlpack(tensor)
    # On another device, of a type that NumPy does not know, or of a TensorFlow before 2.21, which has no DLPack.
    except (BufferError, TypeError, RuntimeError, ValueError, AttributeError):
        array = keras.ops.convert_to_numpy(tensor)
    view = array.view()
    view.flags.writeable = False
    return view


def set_value(variable: keras.Variable, value: np.ndarray) -> None:
    """Sets the value of a variable: its initial one, if Keras defers that, as it does in a `keras.StatelessScope`.

    Raises:
        ValueError: The value has another shape.
    """
    if variable._value is not None:
        variable.assign(value)
        return
    if tuple(variable.shape) != value.shape:
        raise ValueError(f"Variable '{variable.path}' has shape {tuple(variable.shape)}. Received: {value.shape}")
    variable._initializer = lambda shape, dtype: value


def spread_like(variable: keras.Variable, other: keras.Variable) -> None:
    """Distributes a variable over the devices of the current `keras.distribution` like another of its shape."""
    layout = getattr(other, "_layout", None)
    if layout is None or keras.distribution.distribution() is None or variable.shape != other.shape:
        return
    if variable._layout is not layout:
        variable._layout = layout
        if variable._value is not None:
            variable.assign(variable.value)


def operation_classes(*names: str) -> list[type]:
    """The classes of these `keras.ops` operations: `"numpy.Add"`. Those that this Keras lacks are left out."""
    pairs = (name.split(".") for name in names)
    found = (getattr(getattr(operations, module, None), name, None) for module, name in pairs)
    return [cls for cls in found if cls is not None]


def activation_classes(*names: str) -> list[type]:
    """The classes of the operations of `keras.activations` that are not among `keras.ops`. Likewise."""
    return [cls for name in names if (cls := getattr(activations, name, None)) is not None]


def application_classes(*names: str) -> list[type]:
    """The layer classes of `keras.applications`, which are not public: `"convnext.LayerScale"`. Likewise."""
    pairs = (name.split(".") for name in names)
    found = (getattr(getattr(applications, module, None), name, None) for module, name in pairs)
    return [cls for cls in found if cls is not None]


def attention_projections(layer: keras.Layer) -> dict[str, keras.Layer]:
    """The layers in a `MultiHeadAttention` or `GroupQueryAttention`: query, key, value, output and perhaps gate."""
    names = {"query": "_query_dense", "key": "_key_dense", "value": "_value_dense", "output": "_output_dense"}
    if getattr(layer, "_gate_dense", None) is not None:
        names["gate"] = "_gate_dense"
    return {name: getattr(layer, attribute) for name, attribute in names.items()}


def is_of_keras(kind: type) -> bool:
    """Whether Keras itself defines this class."""
    return kind.__module__.split(".")[0] == "keras"


_COMPUTES_NOTHING = frozenset({"__init__", "get_config", "from_config", "__repr__", "__str__"})


def class_that_computes(kind: type) -> type:
    """The class of Keras whose layer a custom class is, if it overrides nothing of what that computes; else itself."""
    found, names = kind, set()
    while not is_of_keras(found):
        if len(found.__bases__) > 1:
            return kind
        names |= {name for name, held in vars(found).items() if callable(held) or not name.startswith("__")}
        (found,) = found.__bases__ or (object,)
        if found is object:
            return kind
    computes = found is not keras.Layer and not issubclass(found, keras.Model)
    return found if computes and not any(hasattr(found, name) for name in names - _COMPUTES_NOTHING) else kind


def become(layer: keras.Layer, kind: type) -> None:
    """Makes a layer one of another class that computes the same from the same attributes."""
    object.__setattr__(layer, "__class__", kind)


def takes_training(layer: keras.Layer) -> bool:
    """Whether `fit` passes `training=True` to the layer."""
    return bool(layer._call_has_training_arg)
