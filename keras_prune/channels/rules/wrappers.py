"""Layers around a layer: TimeDistributed and Bidirectional. The rule of the inner layer does the work."""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_prune.channels.call import Call, Kept, Unsupported, as_labels
from keras_prune.channels.rules.registry import find_rule, register_rule


@register_rule(layers.TimeDistributed)
def time_distributed(call: Call) -> np.ndarray:
    inputs, shape = call.inputs[0], call.input_shapes[0]
    if 1 in call.varying(inputs):
        raise Unsupported("its channels lie along the axis of time")
    after = call.output_shapes[0]
    one = (shape[0], *shape[2:]), after[:1] + after[2:]
    (made,) = _inner(call, "layer", call.operation.layer, inputs.take(0, axis=1), *one, times=shape[1])
    return np.broadcast_to(np.expand_dims(made, 1), call.fixed().shape)


@register_rule(layers.Bidirectional)
def bidirectional(call: Call) -> list[np.ndarray]:
    layer, inputs, shape = call.operation, call.inputs[0], call.input_shapes[0]
    named = dict(zip(("sequences", "initial_state"), call.args, strict=False)) | call.kwargs
    if named.get("initial_state") is not None or layer.return_state or layer.merge_mode is None:
        raise Unsupported("it takes or returns states, or gives two tensors")
    parts = []
    for key in ("forward_layer", "backward_layer"):
        part = getattr(layer, key)
        after = (*call.output_shapes[0][:-1], part.units)
        parts += _inner(call, "layer" if key == "forward_layer" else key, part, inputs, shape, after)
    if layer.merge_mode == "concat":
        return [np.concatenate(parts, axis=-1)]
    call.unite(*parts)
    return parts[:1]


def _inner(
    call: Call,
    key: str,
    layer: keras.Layer,
    inputs: np.ndarray,
    before: tuple[int | None, ...],
    after: tuple[int | None, ...],
    times: int | None = 1,
) -> list[np.ndarray]:
    """Applies the rule of a layer in a layer, and writes what it changes into the outer configuration."""
    rule = find_rule(layer)
    if rule is None:
        raise Unsupported(f"no rule for the {type(layer).__name__} in it (see register_rule)")
    arguments: tuple[Any, Any] = (as_labels(np.asarray(inputs)),), {}
    times = None if times is None or call.times is None else times * call.times
    inner = Call(call.found, layer, f"{call.name}:{key}", arguments, ([before], [after]), times)
    outputs = rule(inner)

    def configuration(kept: Kept) -> dict[str, Any]:
        changed = keras.saving.serialize_keras_object(layer)
        changed.pop("build_config", None)  # holds the old input shape
        changed["config"] |= {name: value(kept) for name, value in call.found.changes.get(id(layer), {}).items()}
        return changed

    call.change(key, configuration)
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
