"""Custom layers without a rule that scale and shift each channel alone, or only change its values: found by trying.

Those of several tensors may join them at each place alone.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.graph.configurations import reconfigure
from keras_prune.graph.duplicate import duplicate
from keras_prune.tracing.labels import has_channels
from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules.entrywise import parts, same, traces
from keras_prune.tracing.rules.gates import join


def per_channel(call: RuleContext) -> np.ndarray:
    """The weights have one entry for each channel, along the last axis, or one for all.

    The layer is traced, and made from its configuration for some of the channels: these must give the same alone.
    """
    unknown = Unsupported("no rule for this class (see register_rule)")
    layer, shapes = call.operation, (call.input_shapes, call.output_shapes)
    if _is_custom(layer) and len(call.input_shapes) > 1 and not layer.variables:
        return join(call, _unmarked(layer), str(unknown))
    if not _is_custom(layer) or [len(each) for each in shapes] != [1, 1] or shapes[0] != shapes[1]:
        raise unknown
    inputs, size = call.inputs[0], call.input_shapes[0][-1]
    weights = [each for each in layer.variables if each.dtype not in ("uint32", "int32", "int64")]
    ours = [each for each in weights if len(each.shape) and each.shape[-1] == size]
    if not has_channels(inputs) or size is None or size < 2:
        raise unknown
    others = {id(each) for each in weights if math.prod(each.shape) > 1} - {id(each) for each in ours}
    if others or set(call.varying(inputs)) - {inputs.ndim - 1}:
        raise unknown
    key = _find_key(layer, ours, call.input_shapes[0])
    if key is None:
        raise unknown
    channels = call.vector(inputs)
    for weight in ours:
        call.bind(weight, -1, channels, "through")
    if key:
        call.resize(key, channels)
    return inputs


def _unmarked(layer: keras.Layer) -> Callable[..., Any]:
    """What a layer computes at inference, by a copy: calling its sublayers leaves traces in them."""
    try:
        twin = duplicate(layer)
    except ValueError as error:
        raise Unsupported(str(error)) from error
    return lambda *args, **kwargs: twin.call(*args, **{**kwargs, **_at_inference(twin)})


def _is_custom(layer: Any) -> bool:
    """Whether this is a layer of the user's that may be called on its own."""
    return (
        isinstance(layer, keras.Layer)
        and not isinstance(layer, keras.Model | keras.layers.Wrapper | keras.layers.RNN)
        and not _keras.is_of_keras(type(layer))
    )


def _find_key(layer: keras.Layer, weights: list[keras.Variable], shape: tuple[int | None, ...]) -> str | None:
    """The argument that is the number of channels; "" if there is none; None if the layer mixes them, or may do so."""
    size = weights[0].shape[-1] if weights else shape[-1]
    try:
        twin = duplicate(layer)  # calling its sublayers leaves traces in them
        for key, value in vars(twin).items():  # of which only some operators take symbolic tensors
            if isinstance(value, keras.Variable):
                vars(twin)[key] = keras.KerasTensor(tuple(value.shape), dtype=layer.compute_dtype)
        if not traces(lambda given: twin.call(given, **_at_inference(twin)), shape, layer.compute_dtype):
            return None
        config = layer.get_config()
    except Exception:  # whatever its class raises
        return None
    numbers = [key for key, value in config.items() if type(value) is int and value == size]
    return next((key for key in ["", *numbers] if _works_alone(layer, weights, shape, key)), None)


def _at_inference(layer: keras.Layer) -> dict[str, bool]:
    return {"training": False} if "training" in inspect.signature(layer.call).parameters else {}


def _works_alone(layer: keras.Layer, weights: list[keras.Variable], shape: tuple[int | None, ...], key: str) -> bool:
    """Whether the layer, made for some channels, computes for them what it computes for all."""
    random = np.random.default_rng(0)
    given = random.normal(size=[each or 2 for each in shape]).astype("float32")
    drawn = {id(each): random.normal(size=tuple(each.shape)) for each in weights}
    try:
        twin = duplicate(layer)
        whole = _run(twin, given, layer.variables, drawn)
        for kept in parts(given.shape[-1]):
            small = reconfigure(layer, {key: len(kept)} if key else {})
            small(ops.convert_to_tensor(given[..., kept]))  # builds it
            symbolic = keras.KerasTensor((*shape[:-1], len(kept)), dtype=layer.compute_dtype)
            training = {"training": True} if _at_inference(layer) else {}
            if tuple(small.compute_output_spec(symbolic, **training).shape) != tuple(symbolic.shape):
                return False
            cut = {each: values[..., kept] for each, values in drawn.items()}
            if not same(_run(small, given[..., kept], layer.variables, cut), whole[..., kept]):
                return False
    except Exception:  # whatever its class raises
        return False
    return True


def _run(layer: keras.Layer, given: np.ndarray, originals: list[keras.Variable], drawn: dict[int, np.ndarray]) -> Any:
    for original, variable in zip(originals, layer.variables, strict=True):
        values = drawn.get(id(original))
        variable.assign(ops.convert_to_numpy(original.value) if values is None else values)
    return ops.convert_to_numpy(ops.cast(layer(ops.convert_to_tensor(given), **_at_inference(layer)), "float32"))
