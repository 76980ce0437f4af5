"""Weights that several layers hold (tied weights), and channels: removed in all of them together, or kept in all."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import check
from support.opaque import opaque
from support.zoo import predict, value

import keras_prune as kp
from keras_prune._keras import replace_variable
from keras_prune.tracing.rules import register_rule

pytestmark = pytest.mark.core


def assign(layer, variable, other):
    """As users do who set an attribute of a built layer to the variable of another."""
    replace_variable(layer, variable, other)
    return layer


def twin_kernels():
    """Two `Dense` with one kernel, between others."""
    first, second = layers.Dense(8, activation="relu", name="first"), layers.Dense(8, activation="relu", name="second")
    inputs = keras.Input((6,))
    hidden = first(layers.Dense(8, activation="tanh", name="before")(inputs))
    outputs = second(hidden)
    assign(second, second.kernel, first.kernel)
    return keras.Model(inputs, layers.Dense(3, name="out")(outputs))


class Project(layers.Layer):
    """Multiplies by a table turned round, which may be that of an embedding."""

    def __init__(self, tokens, **kwargs):
        super().__init__(**kwargs)
        self.tokens = tokens

    def build(self, shape):
        self.table = self.add_weight(shape=(self.tokens, shape[-1]), name="table")

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.table))

    def get_config(self):
        return {**super().get_config(), "tokens": self.tokens}


class ProjectByRule(Project):
    pass


@register_rule(ProjectByRule)
def _project(call):
    call.bind(call.operation.table, 1, call.vector(call.inputs[0]), "in")
    return call.fixed()


class Head(layers.Layer):
    """Holds the layer of the table."""

    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.table.embeddings))


def language_model(make_head):
    """A residual stream of the table's features, a block that may lose its own, and a head that reads the stream."""
    inputs, table = keras.Input((5,), dtype="int32"), layers.Embedding(10, 8, name="table")
    stream = table(inputs)
    block = layers.Dense(8, name="narrow")(layers.Dense(12, activation="relu", name="wide")(stream))
    head = make_head(table)
    model = keras.Model(inputs, head(stream + block))
    if isinstance(head, Project):
        assign(head, head.table, table.embeddings)
    return model


def in_lambda(table):
    return layers.Lambda(lambda x: ops.matmul(x, ops.transpose(table.embeddings)), output_shape=(5, 10), name="head")


def in_opaque_lambda(table):
    """The same, in a function that cannot be written out."""

    def head(x):
        return ops.matmul(opaque(x), ops.transpose(table.embeddings))

    return layers.Lambda(head, output_shape=(5, 10), name="head")


def scale(model):
    for variable in model.trainable_variables:
        variable.assign(variable.value * 1.5 + 0.25)


def test_two_layers_with_one_kernel_lose_the_same_channels():
    model = twin_kernels()
    result = kp.prune_channels(model, 0.5)
    ((_, removed),) = result.plan.removed.items()
    small = result.model
    first, second = small.get_layer("first"), small.get_layer("second")
    assert first.kernel is second.kernel
    assert first.kernel.shape == (4, 4)
    assert len(small.trainable_variables) == len(model.trainable_variables)
    kept = np.setdiff1d(np.arange(8), list(removed))
    kernels = {layer.name: (value(layer.kernel), value(layer.bias)) for layer in model.layers[1:]}
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    hidden = np.tanh((x @ kernels["before"][0] + kernels["before"][1])[:, kept])
    for _ in range(2):
        hidden = np.maximum(hidden @ kernels["first"][0][np.ix_(kept, kept)], 0)
    expected = hidden @ kernels["out"][0][kept] + kernels["out"][1]
    np.testing.assert_allclose(predict(small, x)[0], expected, rtol=1e-4, atol=1e-5)
    small.compile("sgd", "mse")
    small.fit(x, expected * 0, verbose=0)
    assert first.kernel is second.kernel


def test_a_table_and_the_head_that_turns_it_round_lose_the_same_features():
    model = language_model(lambda table: ProjectByRule(10, name="head"))
    small = kp.prune_channels(model, 0.5).model
    table, head = small.get_layer("table"), small.get_layer("head")
    assert head.table is table.embeddings
    assert table.embeddings.shape == (10, 4)
    assert len(small.trainable_variables) == len(model.trainable_variables)
    x = np.random.default_rng(0).integers(0, 10, (3, 5))
    before = predict(small, x)[0]
    scale(small)
    assert not np.allclose(predict(small, x)[0], before)


@pytest.mark.parametrize(
    "make_head",
    [lambda table: Head(table, name="head"), lambda table: Project(10, name="head"), in_lambda],
    ids=["layer", "own", "function"],
)
def test_a_custom_head_is_written_out_and_stays_tied(make_head):
    result, _ = check(language_model(make_head))
    small = result.model
    table = small.get_layer("table")
    (weight,) = [layer for layer in small.layers if isinstance(layer, kp.expansion.Weight)]
    assert weight.value is table.embeddings
    assert table.embeddings.shape == (10, table.output_dim)
    assert "head" not in [layer.name for layer in small.layers]


def test_what_no_rule_follows_is_kept_with_the_reason():
    model = language_model(in_opaque_lambda)
    result = kp.prune_channels(model, 0.5)
    small, x = result.model, np.random.default_rng(0).integers(0, 10, (3, 5))
    assert small.get_layer("wide").units == 6
    assert small.get_layer("table").embeddings.shape == (10, 8)
    assert "head" in str(result.report)
    assert len(small.trainable_variables) == len(model.trainable_variables)
    unchanged = kp.prune_channels(model, 0.0).model
    for each in (unchanged, model):
        scale(each)
    np.testing.assert_allclose(predict(unchanged, x)[0], predict(model, x)[0], rtol=1e-4, atol=1e-4)


def test_a_head_beside_the_stream_keeps_the_table():
    """The head reads other features than those of the table, so that only the weight ties them."""
    inputs, table = keras.Input((5,), dtype="int32"), layers.Embedding(10, 8, name="table")
    hidden = layers.Dense(8, name="mix")(layers.Dense(12, name="wide")(table(inputs)))
    model = keras.Model(inputs, in_opaque_lambda(table)(hidden))
    result = kp.prune_channels(model, 0.5)
    assert result.model.get_layer("table").output_dim == 8
    assert result.model.get_layer("wide").units == 6
    assert "Lambda 'head' shares 'table/embeddings', and no rule says" in str(result.report)


def test_a_layer_without_configuration_stays_tied_to_what_it_shares():
    class SameKernel(layers.Dense):
        def __init__(self, other, **kwargs):
            super().__init__(other.units, **kwargs)
            self.other = [other]

        def build(self, shape):
            self._kernel = self.other[0].kernel
            self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    inputs, first = keras.Input((6,)), layers.Dense(8, name="first")
    hidden = first(layers.Dense(8, name="before")(inputs))
    model = keras.Model(inputs, layers.Dense(3)(layers.Dense(6, name="wide")(SameKernel(first, name="second")(hidden))))
    result = kp.prune_channels(model, 0.5)
    kernel = result.model.get_layer("first").kernel
    assert kernel is result.model.get_layer("second__kernel").value
    assert result.model.get_layer("wide").units == 3
