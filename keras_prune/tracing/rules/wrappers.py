"""Layers around a layer. The rule of the inner layer does the work."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_prune.graph.configurations import describe
from keras_prune.tracing.labels import as_labels
from keras_prune.tracing.rule_context import Kept, RuleContext, Unsupported
from keras_prune.tracing.rules.registry import find_rule, register_rule

Shape = tuple[int | None, ...]


@register_rule(layers.TimeDistributed)
def time_distributed(call: RuleContext) -> np.ndarray:
    inputs, shape = call.inputs[0], call.input_shapes[0]
    if 1 in call.varying(inputs):
        raise Unsupported("its channels lie along the axis of time")
    after = call.output_shapes[0]
    step = inputs.take(0, axis=1)
    one = [(shape[0], *shape[2:])], [after[:1] + after[2:]]
    (made,) = _inner(call, "layer", [step], {}, *one, times=shape[1])
    return np.broadcast_to(np.expand_dims(made, 1), call.fixed().shape)


@register_rule(layers.SpectralNormalization)
def spectral_normalization(call: RuleContext) -> np.ndarray:
    """The kernel is scaled as a whole, while training only, from a singular vector with an entry for each column."""
    layer = call.operation
    (made,) = _inner(call, "layer", call.inputs, {}, call.input_shapes, call.output_shapes)
    columns = call.found.bindings.get((id(layer.kernel), len(layer.kernel.shape) - 1))
    if columns is not None:
        call.bind(layer.vector_u, 1, columns.labels, "through")
    return made


@register_rule(layers.Bidirectional)
def bidirectional(call: RuleContext) -> list[np.ndarray]:
    layer = call.operation
    begin = call.argument(1, "initial_state") or []
    half = len(begin) // 2
    merged = 2 if layer.merge_mode is None else 1
    states = call.output_shapes[merged:]
    parts = []
    for key, state in {"layer": begin[:half], "backward_layer": begin[half:]}.items():
        part = layer.forward_layer if key == "layer" else layer.backward_layer
        output = part.compute_output_shape(call.input_shapes[0])
        shapes = [tuple(output[0] if layer.return_state else output), *states[: len(states) // 2]]
        given = {"initial_state": list(state)} if state else {}
        parts.append(_inner(call, key, call.inputs[:1], given, call.input_shapes, shapes, part))
    forward, backward = [part[0] for part in parts]
    if forward.shape != backward.shape:
        raise Unsupported("its two layers give tensors of different sizes")
    call.unite(forward, backward)  # Keras takes the shape of one for that of both, whatever it does with them
    if layer.merge_mode == "concat":
        found = [np.concatenate([forward, backward], axis=-1)]
    else:
        found = [forward, backward][:merged]
    return [*found, *parts[0][1:], *parts[1][1:]]


def _inner(
    call: RuleContext,
    key: str,
    args: Sequence[np.ndarray],
    kwargs: Mapping[str, Any],
    before: Sequence[Shape],
    after: Sequence[Shape],
    layer: keras.Layer | None = None,
    times: int | None = 1,
) -> list[np.ndarray]:
    """Applies the rule of a layer in a layer, and writes what it changes into the outer configuration."""
    layer = getattr(call.operation, key) if layer is None else layer
    rule = find_rule(layer)
    if rule is None:
        raise Unsupported(f"no rule for the {type(layer).__name__} in it (see register_rule)")
    arguments = tuple(as_labels(np.asarray(labels)) for labels in args), dict(kwargs)
    times = None if times is None or call.times is None else times * call.times
    inner = RuleContext(call.found, layer, f"{call.name}:{key}", arguments, (before, after), times)
    outputs = rule(inner)
    if id(layer) in call.found.readers:
        call.read()

    def configuration(kept: Kept) -> dict[str, Any]:
        changed = describe(layer)
        changed["config"] |= {name: value(kept) for name, value in call.found.changes.get(id(layer), {}).items()}
        return changed

    call.change(key, configuration)
    return [call.only(each) for each in (outputs if isinstance(outputs, list | tuple) else [outputs])]
