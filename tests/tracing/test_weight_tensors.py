"""Weights that are tensors of a graph, as written-out models have them: channels along each of their axes."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import check
from support.versions import require_keras

import keras_prune as kp
from keras_prune._keras import replace_variable
from keras_prune.expansion import Weight

pytestmark = pytest.mark.core


class Built:
    """A small graph that is being written."""

    def __init__(self, shape=(4, 5)):
        self.inputs = keras.Input(shape)

    def weight(self, *shape, name):
        """A weight with random values."""
        layer = Weight(shape, name=name)
        tensor = layer(self.inputs)
        layer.value.assign(np.random.default_rng(len(name)).normal(size=shape))
        return tensor

    def dense(self, x=None, units=8, name="before"):
        return layers.Dense(units, activation="tanh", name=name)(self.inputs if x is None else x)

    def model(self, x):
        return keras.Model(self.inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def scaled(g):
    """A scale and a shift for each channel, and a table of positions."""
    x = g.dense() * g.weight(8, name="scale") + g.weight(8, name="shift")
    return x + ops.expand_dims(g.weight(4, 8, name="positions"), 0)


def projected(g):
    """Matrices, one turned round, and a vector."""
    x = ops.matmul(g.dense(), g.weight(8, 6, name="first"))
    x = ops.relu(x + g.weight(6, name="bias"))
    x = ops.einsum("bsd,fd->bsf", x, g.weight(10, 6, name="second"))
    x = ops.tensordot(ops.tanh(x), g.weight(10, 7, name="third"), axes=1)
    y = ops.dot(ops.tanh(x), g.weight(7, name="vector"))
    return ops.concatenate([x, ops.expand_dims(y, -1)], axis=-1)


def split(g):
    """One matrix for query, key and value."""
    query, key, value = ops.split(ops.matmul(g.inputs, g.weight(5, 24, name="all")), 3, axis=-1)
    scores = ops.softmax(ops.einsum("bic,bjc->bij", query, key), axis=-1)
    return ops.matmul(scores, value)


def experts(g):
    """Every expert for every position, with gates that each expert has alone: as they are summed, whole ones go."""
    x = g.dense()
    hidden = ops.einsum("btd,edm->betm", x, g.weight(4, 8, 6, name="up"))
    hidden = ops.silu(hidden) * ops.einsum("btd,edm->betm", x, g.weight(4, 8, 6, name="gate"))
    made = ops.einsum("betm,emd->betd", hidden, g.weight(4, 6, 8, name="down"))
    gates = layers.Dense(4, activation="sigmoid", name="router")(x)
    return ops.einsum("betd,bte->btd", made, gates)


def low_rank(g):
    """A product of two matrices, of which none has samples."""
    matrix = ops.matmul(g.weight(8, 3, name="a"), g.weight(3, 6, name="b"))
    return ops.tanh(ops.matmul(g.dense(), matrix * 0.5))


def queries(g):
    """Learnt queries, as in Perceiver."""
    query = g.weight(3, 8, name="queries")
    scores = ops.einsum("qd,bkd->bqk", query, g.dense(name="key"))
    return ops.matmul(ops.softmax(scores), g.dense(units=6, name="value"))


def normalised(g):
    require_keras("3.11", "ops.layer_normalization")
    x = ops.layer_normalization(g.dense(), g.weight(8, name="gamma"), g.weight(8, name="beta"))
    return ops.rms_normalization(x, g.weight(8, name="scale"))


def normalised_by_hand(g):
    """As T5 writes it."""
    x = g.dense()
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6) * g.weight(8, name="scale")


def reshaped(g):
    """A kernel of heads and their dimensions, kept as a matrix."""
    kernel = ops.reshape(g.weight(5, 12, name="kernel"), (5, 3, 4))
    x = ops.einsum("bsd,dhk->bshk", g.inputs, kernel)
    back = ops.reshape(g.weight(12, 8, name="back"), (3, 4, 8))
    return ops.einsum("bshk,hkd->bsd", ops.tanh(x), back)


def image(x, channels):
    return ops.reshape(x, (-1, 2, 2, channels))


def convolved(g):
    """Standardised kernels, a masked one, and one of each channel."""
    kernel = g.weight(2, 2, 8, 6, name="first")
    x = ops.conv(image(g.dense(), 8), kernel * 0.5, padding="same")
    x = ops.depthwise_conv(ops.tanh(x), g.weight(2, 2, 6, 1, name="each"), padding="same")
    x = ops.conv(ops.tanh(x), g.weight(2, 2, 6, 10, name="second"), padding="same")
    mask = np.random.default_rng(2).integers(0, 2, (1, 1, 10, 4))
    return ops.conv(ops.tanh(x), g.weight(1, 1, 10, 4, name="third") * mask.astype("float32"))


def standardised(g):
    kernel = g.weight(2, 2, 8, 6, name="kernel")
    mean, variance = ops.moments(kernel, axes=[0, 1, 2], keepdims=True)
    return ops.conv(image(g.dense(), 8), (kernel - mean) / ops.sqrt(variance + 1e-5))


CASES = {  # the layers whose weights are cut together
    scaled: ["before out scale shift positions"],
    projected: ["before first", "first bias second", "second third", "third vector out"],
    split: ["all out"],
    experts: ["before up gate router", "router up gate down", "up gate down", "down out"],
    low_rank: ["before a", "a b", "b out"],
    queries: ["key queries", "value out"],
    normalised: ["before gamma beta scale out"],
    normalised_by_hand: ["before scale out"],
    reshaped: ["kernel back", "back out"],
    convolved: ["before first", "each first second", "second third", "out third"],
    standardised: ["before kernel", "kernel out"],
}
INEXACT = {normalised, normalised_by_hand, standardised}


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_axes_of_weights_follow_the_channels(build):
    graph = Built()
    model = graph.model(build(graph))
    result, error = check(model)
    assert (error is None) == (build in INEXACT)
    assert not result.report.unknown
    again = kp.prune_channels(result.model, 0.0).report
    assert again.macs_before == result.report.macs_after
    assert again.parameters_before == result.report.parameters_after
    groups = [group for group in kp.analyze_channels(model).groups if not group.frozen]
    found = sorted(sorted({member.layer for member in group.members}) for group in groups)
    assert found == sorted(sorted(names.split()) for names in CASES[build])


def test_experts_that_a_softmax_chooses_are_kept_with_the_reason():
    graph = Built()
    made = ops.einsum("btd,edm->btem", graph.inputs, graph.weight(4, 5, 6, name="experts"))
    gates = layers.Dense(4, activation="softmax", name="router")(graph.inputs)
    result, _ = check(graph.model(ops.einsum("btem,bte->btm", made, gates)))
    assert any("softmax" in reason for reason in result.report.frozen.values())
    assert len(result.plan.removed) == 1  # what each of them makes
    assert result.model.get_layer("experts").shape == (4, 5, 3)


def test_a_table_that_is_looked_up_and_read_turned_round_is_one_group():
    inputs = keras.Input((5,), dtype="int32")
    table = Weight((10, 8), name="table")(inputs)
    x = ops.take(table, inputs, axis=0)
    x = x + layers.Dense(8, name="narrow")(layers.Dense(12, activation="relu", name="wide")(x))
    model = keras.Model(inputs, ops.matmul(x, ops.transpose(table)))
    result, error = check(model)
    assert error is not None
    small = result.model
    assert small.get_layer("table").shape == (10, 4)
    assert small.get_layer("narrow").units == 4
    assert small.get_layer("wide").units == 6
    assert len(small.trainable_variables) == len(model.trainable_variables)


def test_a_table_of_an_embedding_that_another_layer_turns_round():
    inputs, table = keras.Input((5,), dtype="int32"), layers.Embedding(10, 8, name="table")
    x = table(inputs)
    x = x + layers.Dense(8, name="narrow")(layers.Dense(12, activation="relu", name="wide")(x))
    head = Weight((10, 8), name="head")
    turned = head(x)
    replace_variable(head, head.value, table.embeddings)
    model = keras.Model(inputs, ops.matmul(x, ops.transpose(turned)))
    result, error = check(model)
    assert error is not None
    small = result.model
    assert small.get_layer("table").embeddings is small.get_layer("head").value
    assert small.get_layer("table").embeddings.shape == (10, 4)


def test_biases_of_relative_positions_lose_the_heads():
    """As in T5: a table of heads, looked up by distance, is added to the scores."""
    graph = Built((6, 5))
    query, key = (layers.EinsumDense("bsd,dhk->bshk", (6, 2, 4), name=name)(graph.inputs) for name in ("query", "key"))
    distance = np.abs(np.arange(6)[:, None] - np.arange(6))
    bias = ops.take(graph.weight(6, 2, name="bias"), distance, axis=0)
    bias = ops.expand_dims(ops.transpose(bias, (2, 0, 1)), 0)
    scores = ops.softmax(ops.einsum("bqhk,bshk->bhqs", query, key) + bias)
    value = layers.EinsumDense("bsd,dhk->bshk", (6, 2, 3), name="value")(graph.inputs)
    mixed = ops.einsum("bhqs,bshk->bqhk", scores, value)
    result, error = check(graph.model(layers.EinsumDense("bqhk,hkd->bqd", (6, 4), name="mix")(mixed)))
    assert error is not None
    assert not result.report.unknown
    assert sorted(len(places) for places in result.plan.removed.values()) == [1, 1, 2, 2]
    assert result.model.get_layer("bias").shape == (6, 1)
    assert result.model.get_layer("query").kernel.shape == (5, 1, 2)
