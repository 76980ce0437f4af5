"""Attention with projections: heads are removed as a whole, and dimensions from all heads together."""

import math
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_prune import _keras
from keras_prune.tracing.labels import FIXED
from keras_prune.tracing.products import entries
from keras_prune.tracing.rule_context import Kept, Labels, RuleContext, Unsupported
from keras_prune.tracing.rules.registry import register_rule


@register_rule(layers.MultiHeadAttention)
def multi_head_attention(call: RuleContext) -> list[np.ndarray]:
    settings = call.operation.get_config()
    heads = call.mint("num_heads", settings["num_heads"])
    keys = call.mint("key_dim", settings["key_dim"])
    # Dimensions of values of the same size are removed with the keys': Keras on JAX (3.15) can run no others.
    same = settings["value_dim"] in (None, settings["key_dim"])
    values = keys if same else call.mint("value_dim", settings["value_dim"])
    made = _project(call, {"query": heads, "key": heads}, keys, values)
    call.resize("num_heads", heads)
    call.change("key_dim", lambda kept: _dimensions(call, heads, keys, kept))
    call.resize("value_dim", values)
    shape = settings["output_shape"] or [len(made)]
    call.change("output_shape", lambda kept: [*shape[:-1], kept.count(made)])
    return _outputs(call, made, heads)


@register_rule(layers.GroupQueryAttention)
def grouped_query_attention(call: RuleContext) -> list[np.ndarray]:
    """Every key has as many queries as the others: a key is removed with all of its own, or one query of each key."""
    layer = call.operation
    keys, queries = layer.num_key_value_heads, layer.num_query_heads // layer.num_key_value_heads
    if keys >= queries:  # whichever leaves the finer choice
        few = call.mint("num_key_value_heads", keys)
        many = np.repeat(few, queries)
        call.resize("num_key_value_heads", few)
    else:
        few = np.full(keys, FIXED)
        many = np.tile(call.mint("num_query_heads", queries), keys)
    dimensions = call.mint("head_dim", layer.head_dim)
    made = _project(call, {"query": many, "key": few}, dimensions, dimensions)
    call.unite(made, call.vector(_given(call)["query"]))  # its output is as wide as its query: there is no setting
    call.resize("num_query_heads", many)
    call.change("head_dim", lambda kept: _dimensions(call, many, dimensions, kept))
    return _outputs(call, made, many)


def _given(call: RuleContext) -> dict[str, np.ndarray]:
    """The labels of query, key and value."""
    given = {name: call.argument(place, name) for place, name in enumerate(("query", "value", "key"))}
    if given["key"] is None:
        given["key"] = given["value"]
    if not all(isinstance(labels, Labels) for labels in given.values()) or len(call.args) > 3:
        raise Unsupported("it is called in an unknown way")
    return given


def _project(call: RuleContext, heads: dict[str, np.ndarray], keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Binds the kernels; returns the channels of the output.

    The scores are the products of query and key, divided by the root of the number of their dimensions. A removed
    dimension is missing in the products, no more: the query is multiplied by what the root changes.
    """

    def root(kept: Kept) -> float:
        return math.sqrt(kept.count(keys) / len(keys))

    parts = _keras.attention_projections(call.operation)
    given = _given(call)
    given["gate"] = given["query"]
    heads = heads | {"value": heads["key"], "gate": heads["query"]}
    _count(call, parts, heads["query"], keys, values)
    for name, part in parts.items():
        if name == "output":
            continue
        dimensions = keys if name in ("query", "key") else values
        factor: dict[str, Any] = {"mutes": True, "rescale": root} if name == "query" else {}
        call.bind(part.kernel, 0, call.vector(given[name]), "in")
        call.bind(part.kernel, 1, heads[name], "out")
        call.bind(part.kernel, 2, dimensions, "out", **factor)
        call.bind(part.bias, 0, heads[name], "out")
        call.bind(part.bias, 1, dimensions, "out", **factor)
    output = parts["output"]
    made = call.mint("output", output.kernel.shape[-1])
    call.bind(output.kernel, 0, heads["query"], "in")
    call.bind(output.kernel, 1, values, "in")
    call.bind(output.kernel, -1, made, "out")
    call.bind(output.bias, -1, made, "out")
    return made


def _dimensions(call: RuleContext, heads: np.ndarray, dimensions: np.ndarray, kept: Kept) -> int:
    """How many dimensions of each head are kept.

    Keras on TensorFlow (3.15) takes a bias of as many heads of one dimension as there are time steps for one of the
    time steps: rather an error than a wrong model.
    """
    count = kept.count(dimensions)
    lengths = {shape[1] for shape in call.input_shapes}
    if (
        count == 1 < len(dimensions)
        and kept.count(heads) in lengths
        and call.operation.get_config()["use_bias"]
        and keras.backend.backend() == "tensorflow"
    ):
        raise ValueError(
            "Keras on TensorFlow adds the bias of heads of one dimension along the wrong axis when there are as many "
            f"heads as time steps: keep more with `min_channels=2` or `ratios`. Received: {kept.count(heads)} heads of "
            f"one dimension left in '{call.name}'"
        )
    return count


def _count(
    call: RuleContext, parts: dict[str, keras.Layer], heads: np.ndarray, keys: np.ndarray, values: np.ndarray
) -> None:
    """The multiplications: of the kernels, of each query with each key, and of the scores with the values."""
    given = _given(call)
    asking, asked = (entries(call.shape_of(given[name])[:-1]) for name in ("query", "value"))
    axes = getattr(call.operation, "attention_axes", None)  # along the others each asks its own
    shape = call.shape_of(given["value"])
    reach = asked if axes is None else entries([None, *(shape[axis] for axis in axes)])
    pairs = None if asking is None or reach is None else asking * reach
    call.contract(pairs, heads, keys)
    call.contract(pairs, heads, values)
    for name, part in parts.items():
        call.multiply(part.kernel, asked if name in ("key", "value") else asking)


def _outputs(call: RuleContext, made: np.ndarray, heads: np.ndarray) -> list[np.ndarray]:
    found = [call.spread(made)]
    if len(call.output_shapes) > 1:  # attention scores, with an axis of heads
        shape = call.output_shapes[1]
        if len(shape) != 4 or shape[1] != len(heads):
            raise Unsupported("its attention scores are used, and have more axes than batch, heads, queries and keys")
        found.append(call.spread(heads, 1, output=1))
    return found


@register_rule(layers.Attention, layers.AdditiveAttention)
def attention(call: RuleContext) -> list[np.ndarray]:
    """No kernels: the channels of query and key are read by their product, those of the values pass through."""
    query, value, *rest = call.args[0] if call.args else call.kwargs["inputs"]
    key = rest[0] if rest else value
    if not all(isinstance(labels, Labels) for labels in (query, key, value)) or len(call.args) > 1:
        raise Unsupported("it is called in an unknown way")
    channels = call.vector(query)
    call.unite(channels, call.vector(key))
    if isinstance(call.operation, layers.AdditiveAttention):
        call.bind(call.operation.scale, 0, channels, "in")
    call.read()
    values = call.vector(value)
    asking, asked = (entries(call.shape_of(given)[:-1]) for given in (query, value))
    pairs = None if asking is None or asked is None else asking * asked
    call.contract(pairs, channels)
    call.contract(pairs, values)
    made = call.spread(values)
    return [made, *(call.fixed(output) for output in range(1, len(call.output_shapes)))]
