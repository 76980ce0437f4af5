"""Structure and Graph: the one walk of a model's graphs, against what Keras computes."""

import keras
import numpy as np
import pytest
from keras import layers
from support import channel_zoo, depth_zoo
from support.channel_zoo import batch, randomise

from keras_prune.graph.execution import run
from keras_prune.graph.structure import Graph, Structure
from keras_prune.tracing.trace import trace

MODELS = [channel_zoo.residual, channel_zoo.nested, depth_zoo.nested, depth_zoo.residual, depth_zoo.transformer]


def twice():
    """A layer in two models inside, one of which is used twice."""
    shared = layers.Dense(6, activation="relu", name="shared")
    first = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="own"), shared], name="first")
    inputs = keras.Input((6,))
    second = keras.Model(inputs, layers.Add()([inputs, shared(inputs)]), name="second")
    inputs = keras.Input((6,))
    x = layers.Dense(6, name="stem")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="out")(second(first(second(x)))))


@pytest.mark.parametrize("build", [*MODELS, twice], ids=lambda build: build.__name__)
def test_the_trace_knows_the_nodes_around_every_use(build):
    found = trace(build())
    walked = list(found.structure.walk())
    assert [(use.path, use.nodes) for use in found.uses] == walked
    assert {id(use.node) for use in found.uses} | {id(node) for use in found.uses for node in use.nodes} == set(
        map(id, found.structure.nodes)
    )


def test_uses_of_a_layer_in_models_inside():
    model = twice()
    structure = Structure(model)
    assert [path for path, _ in structure.walk()] == [
        *("stem", "second/shared", "second/add", "first/own", "first/shared", "second/shared", "second/add", "out")
    ]
    assert [graph.prefix for graph in structure.graphs] == ["", "second/", "first/"]
    shared = model.get_layer("first").layers[-1]
    assert len(structure.uses[id(shared)]) == 2  # a node in each of the two graphs
    assert len(structure.nodes) == len({id(node) for node in structure.nodes}) == 5 + 2 + 2
    second = [node for node in structure.nodes if node.operation.name == "second"]
    inside = structure.inner(second[0]).nodes
    assert structure.with_inner(second[:1]) == second[:1]  # the other use needs what is inside
    assert structure.with_inner(second) == [*second, *inside]
    assert structure.with_inner(second[:1], shared=True) == [second[0], *inside]
    assert trace(model).names[id(shared)] == "second/shared"  # of its first use


@pytest.mark.core
def test_flow_carries_values_as_keras_does():
    model = randomise(twice())
    x = batch(model)
    seen = {}

    def watch(node, make):
        def call(*args, **kwargs):
            seen.setdefault(id(node), []).append(keras.tree.flatten((args, kwargs))[0])
            return make()(*args, **kwargs)

        return call

    expected = run(model, x, watch)
    structure = Structure(model)

    def step(node, values):
        given = [values[id(tensor)] for tensor in node.arguments.keras_tensors]
        inner = structure.inner(node)
        if inner is not None:
            return inner.flow(given, step)[0]
        return [node.operation(given if len(given) > 1 else given[0])]

    (made,), values = structure.graphs[0].flow([x], step)
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (made, expected)), rtol=1e-5, atol=1e-6)
    for node in structure.graphs[0].nodes:
        first = values[id(node.arguments.keras_tensors[0])]
        np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (first, seen[id(node)][0])), rtol=1e-5, atol=1e-6)
    assert len(seen) == len(structure.nodes)


def test_neighbours():
    model = depth_zoo.residual()
    graph = Graph.of(model)
    for node in graph.nodes:
        assert all(any(each is node for each in graph.after(before)) for before in graph.before(node))
        assert all(any(each is node for each in graph.before(after)) for after in graph.after(node))
    read = [tensor for node in graph.nodes for tensor in node.arguments.keras_tensors]
    assert sum(map(len, graph.consumers.values())) == len(
        {(id(t), id(n)) for n in graph.nodes for t in n.arguments.keras_tensors}
    )
    assert {id(tensor) for tensor in read} == set(graph.consumers)
    assert set(graph.producers) == {id(tensor) for node in graph.nodes for tensor in node.outputs}
