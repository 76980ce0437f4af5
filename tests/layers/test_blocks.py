"""Whole blocks of models of custom layers: found, chosen and removed, whatever is in them."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.zoo import predict

import keras_prune as kp

pytestmark = pytest.mark.core


class Before(layers.Layer):
    """Two residual branches, each behind its normalisation."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.norms = [layers.LayerNormalization(), layers.LayerNormalization()]
        self.attention = layers.MultiHeadAttention(2, width // 2)
        self.feed = keras.Sequential([layers.Dense(2 * width, activation="relu"), layers.Dense(width)])

    def call(self, x):
        y = self.norms[0](x)
        x = x + self.attention(y, y)
        return x + self.feed(self.norms[1](x))


class After(Before):
    """The normalisations stand behind the sums."""

    def call(self, x):
        x = self.norms[0](x + self.attention(x, x))
        return self.norms[1](x + self.feed(x))


class Stack(layers.Layer):
    """Blocks in a layer around them."""

    def __init__(self, kind, width, count, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [kind(width, name=f"block_{index}") for index in range(count)]

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Encoder(keras.Model):
    def __init__(self, kind, count=3, width=8):
        super().__init__()
        self.first = layers.Dense(width, name="first")
        self.stack = Stack(kind, width, count, name="stack")
        self.last = layers.Dense(2, name="last")

    def call(self, x):
        return self.last(ops.mean(self.stack(self.first(x)), axis=1))


class Without(Encoder):
    """The same without some of the blocks."""

    def __init__(self, other, gone):
        super().__init__(type(other.stack.blocks[0]))
        self.first, self.last = other.first, other.last
        self.stack.blocks = [block for index, block in enumerate(other.stack.blocks) if index not in gone]


def data(size=6):
    return np.random.default_rng(0).normal(size=(size, 5, 4)).astype("float32")


def built(kind):
    model = Encoder(kind)
    model(data())
    return model


@pytest.mark.parametrize("kind", [Before, After])
def test_a_block_is_removed_whole(kind):
    model = built(kind)
    result = kp.prune_layers(model, "stack/block_1")
    assert list(result.plan.removed) == ["stack__block_1"]
    np.testing.assert_allclose(predict(result.model, data()), predict(Without(model, {1}), data()), atol=1e-5)
    held = sum(int(np.prod(weight.shape)) for weight in model.stack.blocks[1].weights)
    assert result.model.count_params() == model.count_params() - held
    again = kp.prune_layers(model, plan=result.plan).model
    np.testing.assert_array_equal(predict(again, data()), predict(result.model, data()))


@pytest.mark.parametrize("kind", [Before, After])
def test_the_block_that_changes_least_goes_first(kind):
    model = built(kind)
    for layer in (model.stack.blocks[2].attention._output_dense, model.stack.blocks[2].feed.layers[-1]):
        layer.kernel.assign(1e-4 * layer.kernel)  # it hardly changes what it gets
    result = kp.prune_layers(model, ratio=0.34, units="blocks", importance="block_influence", data=data())
    assert list(result.plan.removed) == ["stack__block_2"]
    scores = {each.name: each.score for each in result.report.candidates if each.kind == "block"}
    assert scores["stack"] is None
    assert scores["stack__block_2"] == min(scores[f"stack__block_{index}"] for index in range(3))
    np.testing.assert_allclose(predict(result.model, data()), predict(Without(model, {2}), data()), atol=1e-5)


def test_a_graph_of_blocks_is_taken_apart_for_them():
    inputs = keras.Input((5, 8))
    x = Before(8, name="one")(inputs)
    x = Before(8, name="two")(x)
    model = keras.Model(inputs, layers.Dense(2)(ops.mean(x, axis=1)))
    result = kp.prune_layers(model, ratio=0.5, units="blocks")
    assert list(result.plan.removed) in (["one"], ["two"])
    whole = kp.analyze_layers(model)  # branches and layers: a custom layer is one of these
    assert {each.kind for each in whole.candidates} == {"layer"}


def test_units_are_checked():
    with pytest.raises(ValueError, match=r"units.*Received: "):
        kp.prune_layers(built(Before), ratio=0.5, units="block")


def test_without_blocks_nothing_is_removed_and_that_is_said():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(2)])
    result = kp.prune_layers(model, ratio=0.5, units="blocks")
    assert "Nothing was removed" in str(result)
