"""The walk of `tflite_export` over graphs, against that of `keras_prune`, which it may not import."""

import keras
import pytest

import tflite_export
from keras_prune import _keras
from tflite_export.keras_models.graph_nodes import graph_nodes, graph_of

layers = keras.layers


def expected(model):
    """The oracle: the nodes of `keras_prune`, those of nested models in their place."""
    found = []
    for node in _keras.graph_nodes(model):
        inner = node.operation if _keras.is_graph(node.operation) else None
        found += [node] if inner is None else expected(inner)
    return found


def sequential():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a"), layers.ReLU(name="b")])


def functional():
    """Branches, an operation of `keras.ops`, an input that is an output as well, a layer that is called twice."""
    x, y = keras.Input((4,)), keras.Input((4,))
    shared = layers.Dense(4, name="shared")
    z = shared(x) + shared(y) * 2.0
    return keras.Model([x, y], [layers.Dense(2, name="head")(z), x])


def part_of_a_larger_graph():
    """Its operations have calls that are not its own, before its inputs and after its outputs."""
    x = keras.Input((4,))
    y = layers.Dense(4, name="before")(x)
    z = layers.Dense(4, name="inside")(y)
    keras.Model(x, layers.Dense(2, name="after")(z))
    return keras.Model(y, z)


def nested():
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="c"), sequential_of(3)], name="inner")
    y = inner(layers.Dense(3, name="first")(x))
    return keras.Model(x, layers.Add(name="sum")([inner(y), y]))


def sequential_of(units):
    return keras.Sequential([keras.Input((units,)), layers.Dense(units, name="d"), layers.Dropout(0.5, name="e")])


@pytest.mark.parametrize("build", [sequential, functional, part_of_a_larger_graph, nested])
def test_the_walk_equals_that_of_keras_prune(build):
    model = build()
    found = list(graph_nodes(model))
    assert [id(node) for node in found] == [id(node) for node in expected(model)]
    assert found


def test_operations_by_hand():
    names = [node.operation.name for node in graph_nodes(nested())]
    assert names == ["first", "c", "d", "e", "c", "d", "e", "sum"]
    assert [node.operation.name for node in graph_nodes(part_of_a_larger_graph())] == ["inside"]


class Tower(keras.Model):
    """Functional, with a constructor of its own, as the backbones of keras_hub."""

    def __init__(self, units, **settings):
        x = keras.Input((3,))
        super().__init__(x, layers.Dense(units, name="tower")(x), **settings)
        self.units = units


class Doubled(Tower):
    """Its graph is not what it computes."""

    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)


def test_a_functional_subclass_with_its_own_constructor_is_a_graph():
    """`keras_prune` cannot rebuild it; its operations are known all the same."""
    tower = Tower(5)
    assert not _keras.is_graph(tower)
    assert [node.operation.name for node in graph_nodes(tower)] == ["tower"]
    x = keras.Input((3,))
    model = keras.Model(x, layers.ReLU(name="last")(tower(x)))
    assert [node.operation.name for node in graph_nodes(model)] == ["tower", "last"]


def test_a_functional_subclass_with_its_own_call_is_no_graph():
    doubled = Doubled(5)
    assert graph_of(doubled) is None
    x = keras.Input((3,))
    model = keras.Model(x, doubled(x))
    assert [type(node.operation) for node in graph_nodes(model)] == [Doubled]


class DoubledSequential(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.point = layers.Conv2D(4, 1)

    def call(self, x):
        return self.point(x)


def test_what_has_no_graph():
    for model in (
        layers.Dense(2),
        Subclassed(),
        keras.Sequential([layers.Dense(2)]),
        DoubledSequential([keras.Input((2,)), layers.Dense(2)]),
    ):
        assert graph_of(model) is None


def test_check_sparse_speed_takes_models_without_a_graph():
    model = Subclassed()
    model(keras.ops.zeros((1, 8, 8, 3)))
    report = tflite_export.check_sparse_speed(model)
    assert [kernel.shape for kernel in report.kernels] == [(1, 1, 3, 4)]
    assert len(report.obstacles) == 1
    assert "a subclassed model" in report.obstacles[0]
