"""What is read at positions of padding is left out only where it cannot matter, whatever layers say of masks."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers
from support.sentences import WIDTH, Block, each, flat, functional, mean, reader, sentences, windows

from keras_prune import _keras
from keras_prune.measurement.padding import find_unused_padding

pytestmark = pytest.mark.core
ATTENTION = ["attention_output", "key", "query", "value"]


def unused(model, x):
    """The names of the layers for which padding makes no difference."""
    weighted = [each for each in _keras.flatten(model) if isinstance(each, layers.Dense | layers.EinsumDense)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # layers that destroy masks say so
        found = find_unused_padding(model, [id(each) for each in weighted], x)
    assert not any("call" in vars(each) for each in _keras.flatten(model))
    return sorted(each.name for each in weighted if id(each) in found)


@pytest.mark.parametrize("body", [functional, lambda x: Block()(x)])
@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (mean, [*ATTENTION, "down", "up"]),
        (each, [*ATTENTION, "down", "head", "up"]),  # of which the padding's outputs are nobody's
        (flat, ["key", "query"]),  # the rest reaches the outputs; padding reads the mean of all values
        (windows, ["key", "query"]),
    ],
)
def test_what_follows_decides(body, end, expected):
    assert unused(reader(body, end), sentences()) == sorted(expected)


@pytest.mark.parametrize("body", [functional, lambda x: Block()(x)])
def test_without_a_mask_padding_is_read(body):
    assert unused(reader(body, mask=False), sentences()) == []


def test_nothing_is_known_where_no_sample_has_padding():
    assert unused(reader(), np.maximum(sentences(), 1)) == []


def test_of_keys_and_queries_each_has_its_own_mask():
    asked, answer = keras.Input((10,), dtype="int32"), keras.Input((10, WIDTH))
    table = layers.Embedding(20, WIDTH, mask_zero=True)(asked)
    y = layers.MultiHeadAttention(2, 4)(table, answer)  # no answer is padding
    model = keras.Model([asked, answer], layers.Dense(3, name="head")(layers.GlobalAveragePooling1D()(y)))
    x = [sentences(), np.random.default_rng(1).normal(size=(64, 10, WIDTH)).astype("float32")]
    assert unused(model, x) == ["attention_output", "query"]


class Padded(layers.Layer):
    """A block that gets its mask as an argument, as those of KerasHub do."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention, self.up = layers.MultiHeadAttention(2, 4), layers.Dense(WIDTH, name="up")

    def call(self, x, padding_mask=None):
        y = self.attention(x, x, attention_mask=padding_mask[:, None])
        return keras.ops.sum((x + self.up(x + y)) * keras.ops.cast(padding_mask, x.dtype)[..., None], axis=1)


def test_a_mask_may_be_an_argument():
    words, mask = keras.Input((10,), dtype="int32"), keras.Input((10,), dtype="bool")
    x = layers.Embedding(20, WIDTH)(words)
    model = keras.Model([words, mask], layers.Dense(3, name="head")(Padded()(x, padding_mask=mask)))
    x = sentences()
    assert unused(model, [x, x > 0]) == sorted([*ATTENTION, "up"])
