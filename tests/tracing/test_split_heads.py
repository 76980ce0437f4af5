"""Query heads that are split into those of each key, as in Gemma: heads of keys are removed with all their queries."""

import keras
import pytest
from keras import layers, ops
from support.channel_zoo import check

pytestmark = pytest.mark.core


def grouped_attention(queries, keys, inner_first=False):
    """Attention whose query heads are reshaped to an axis of keys and one of the queries of each."""
    inputs = keras.Input((6, 5))
    each, size = queries // keys, 4
    query = layers.EinsumDense("bsd,dnh->bsnh", (6, queries, size), name="query")(inputs)
    key, value = (
        layers.EinsumDense("bsd,dkh->bskh", (6, keys, size), bias_axes="kh", name=name)(inputs)
        for name in ("key", "value")
    )
    shape = (each, keys) if inner_first else (keys, each)
    letters = "gk" if inner_first else "kg"
    query = ops.reshape(0.5 * query, (-1, 6, *shape, size))
    scores = ops.softmax(ops.einsum(f"bt{letters}h,bskh->bkgts", query, key))
    mixed = ops.reshape(ops.einsum(f"bkgts,bskh->bt{letters}h", scores, value), (-1, 6, queries, size))
    made = layers.EinsumDense("btnh,nhd->btd", (6, 7), name="mix")(mixed)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(made)))


@pytest.mark.parametrize(
    ("queries", "keys", "left"),
    [
        (8, 4, (4, 2)),  # each key has two queries, which are removed with it
        (4, 2, (2, 1)),
        (4, 4, (2, 2)),
        (8, 2, (4, 2)),  # the fourth of a key's queries is the finer choice: keys stay
        (4, 1, (2, 1)),
    ],
)
def test_heads_of_keys_and_queries(queries, keys, left):
    result, error = check(grouped_attention(queries, keys))
    assert error is not None
    assert not result.report.unknown
    small = result.model
    assert (small.get_layer("query").kernel.shape[1], small.get_layer("key").kernel.shape[1]) == left
    assert small.get_layer("value").kernel.shape[1] == left[1]
    assert small.get_layer("mix").kernel.shape[0] == left[0]


def test_where_the_keys_are_the_last_part():
    result, error = check(grouped_attention(6, 3, inner_first=True), ratio=0.4)
    assert error is not None
    assert result.model.get_layer("query").kernel.shape[1] == 4
    assert result.model.get_layer("key").kernel.shape[1] == 2


def test_an_axis_of_keys_that_are_no_channels_is_kept():
    """Two axes of a product whose second factor has no channels: those of the last one are removed, as ever."""
    inputs = keras.Input((6, 5))
    x = ops.reshape(layers.Dense(8, name="before")(inputs), (-1, 6, 4, 2))
    y = ops.reshape(inputs[:, :, :4], (-1, 6, 4, 1))
    product = ops.einsum("btkg,bskh->btsg", x, y)
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(product)))
    result, error = check(model)
    assert error is not None
    assert result.model.get_layer("before").units == 4
