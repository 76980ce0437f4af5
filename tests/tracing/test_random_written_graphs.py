"""Random graphs of operations, constants and weights: what is removed has no effect but that of zeros."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from support import rotations
from support.channel_zoo import compare

from keras_prune.expansion import Weight

pytestmark = pytest.mark.core


class Steps:
    """Steps from one tensor of samples, positions and channels to the next; the number of channels is a multiple of 4.

    Args:
        inputs: The input of the model.
    """

    def __init__(self, inputs):
        self._inputs = inputs
        self._random = np.random.default_rng(5)

    def _constant(self, *shape):
        return self._random.normal(size=shape).astype("float32")

    def _weight(self, *shape):
        layer = Weight(shape)
        tensor = layer(self._inputs)
        layer.value.assign(self._random.normal(size=shape) / 2)
        return tensor

    def constant(self, x):
        return x * self._constant(4, x.shape[-1]) + self._constant(x.shape[-1])

    def scale(self, x):
        return x * self._weight(x.shape[-1]) + ops.expand_dims(self._weight(4, x.shape[-1]), 0)

    def matrix(self, x):
        return ops.tanh(ops.matmul(x, self._weight(x.shape[-1], 8)))

    def turned(self, x):
        return x + ops.matmul(ops.tanh(x), ops.transpose(self._weight(x.shape[-1], x.shape[-1])))

    def gate(self, x):
        return x * ops.sigmoid(layers.Dense(x.shape[-1])(x))

    def rotate(self, x):
        cos, sin = rotations.angles(4, x.shape[-1])
        return x * cos + rotations.turn_halves(x) * sin

    def heads(self, x):
        x = ops.reshape(x, (-1, 4, 2, x.shape[-1] // 2))
        return ops.einsum("bshk,hkd->bsd", x * self._constant(x.shape[-1]), self._weight(2, x.shape[-1], 12))

    def experts(self, x):
        made = ops.einsum("bsd,edm->besm", x, self._weight(3, x.shape[-1], 8))
        return ops.einsum("besm,bse->bsm", ops.tanh(made), layers.Dense(3, activation="sigmoid")(x))

    def taken(self, x):
        return ops.take(x, np.arange(x.shape[-1])[::-1], axis=-1)

    def beside(self, x):
        return ops.concatenate([x, ops.relu(layers.Dense(4)(x))], axis=-1)


NAMES = sorted(name for name in vars(Steps) if not name.startswith("_"))


@settings(max_examples=4, derandomize=True)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
def test_what_is_removed_has_no_effect_but_that_of_zeros(names):
    inputs = keras.Input((4, 5))
    steps, x = Steps(inputs), layers.Dense(8, name="before")(inputs)
    for name in names:
        x = getattr(steps, name)(x)
    result, error, change = compare(keras.Model(inputs, layers.Dense(2, name="out")(ops.mean(x, axis=1))), ratio=0.5)
    assert error is not None
    assert change > 0
    assert not result.report.unknown
