"""Ratios for one kind of the channels that a layer makes: heads, or the dimensions of each."""

import keras
import pytest
from keras import layers
from support.channel_zoo import check

import keras_prune as kp

pytestmark = pytest.mark.core


def attention():
    inputs = keras.Input((5, 6))
    x = layers.Dense(8, name="first")(inputs)
    x = layers.MultiHeadAttention(4, 6, name="attention")(x, x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(x)))


@pytest.mark.parametrize(
    ("ratios", "heads", "size"),
    [
        ({"attention:num_heads": 0.5}, 2, 6),
        ({"*:key_dim": 0.5}, 4, 3),
        ({"attention": 0.5}, 2, 3),
        ({"*:num_heads": 0.75, "*:key_dim": 0.5}, 1, 3),
    ],
)
def test_heads_and_their_dimensions(ratios, heads, size):
    result, _ = check(attention(), ratio=None, ratios=ratios)
    layer = result.model.get_layer("attention")
    assert (layer._num_heads, layer._key_dim) == (heads, size)
    assert result.model.get_layer("first").units == 8


def test_a_kind_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"`ratios` names a layer[\s\S]*Received: 'attention:heads'"):
        kp.prune_channels(attention(), ratios={"attention:heads": 0.5})
    with pytest.raises(ValueError, match="different values"):
        kp.prune_channels(attention(), ratios={"attention": 0.5, "attention:num_heads": 0.25})
