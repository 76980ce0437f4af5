"""Attention: heads go as a whole."""

import numpy as np
from keras import layers

from keras_prune.channels.call import Call, Unsupported
from keras_prune.channels.labels import FIXED
from keras_prune.channels.rules.registry import register_rule
from keras_prune.channels.work import entries


@register_rule(layers.MultiHeadAttention)
def multi_head_attention(call: Call) -> list[np.ndarray]:
    layer = call.operation
    if len(call.output_shapes) > 1:
        raise Unsupported("its attention scores are used, which have an axis of heads")
    if getattr(layer, "_use_gate", False):
        raise Unsupported("it has a gate")
    named = dict(zip(("query", "value", "key"), call.args, strict=False)) | call.kwargs
    if not all(isinstance(named.get(name), np.ndarray) for name in ("query", "value")) or len(call.args) > 3:
        raise Unsupported("it is called in a way that is not known")
    key = named["value"] if named.get("key") is None else named["key"]
    settings = layer.get_config()
    heads = call.mint("num_heads", settings["num_heads"])
    # Query and key keep their dimensions, since the scores are divided by the root of their number. So do values of the
    # same dimension: Keras on JAX (3.15) cannot run values of another one. Where they differ already, values may go.
    if settings["value_dim"] in (None, settings["key_dim"]):
        values = np.full(settings["key_dim"], FIXED)
    else:
        values = call.mint("value_dim", settings["value_dim"])
        call.resize("value_dim", values)
    read, looked_at = (entries(shape[:-1]) for shape in call.input_shapes[:2])
    pairs = None if read is None or looked_at is None else read * looked_at
    call.contract(pairs, heads, settings["key_dim"])
    call.contract(pairs, heads, values)
    for part, positions in (
        (layer.query_dense, read),
        (layer.key_dense, looked_at),
        (layer.value_dense, looked_at),
        (layer.output_dense, read),
    ):
        call.multiply(part.kernel, positions)
    parts = {layer.query_dense: named["query"], layer.key_dense: key, layer.value_dense: named["value"]}
    for part, given in parts.items():
        channels = call.vector(given)
        call.bind(part.kernel, 0, channels, "in")
        call.bind(part.kernel, 1, heads, "out")
        call.bind(part.bias, 0, heads, "out")
    call.bind(layer.value_dense.kernel, 2, values, "out")
    call.bind(layer.value_dense.bias, 1, values, "out")
    output = layer.output_dense
    if len(output.kernel.shape) != 3:
        raise Unsupported("its `output_shape` has several axes")
    made = call.mint("output", output.kernel.shape[-1])
    call.bind(output.kernel, 0, heads, "in")
    call.bind(output.kernel, 1, values, "in")
    call.bind(output.kernel, 2, made, "out")
    call.bind(output.bias, 0, made, "out")
    call.resize("num_heads", heads)
    call.change("output_shape", lambda kept: [kept.count(made)])
    return [call.spread(made)]
