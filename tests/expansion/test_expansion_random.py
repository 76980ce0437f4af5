"""Random nets of nested custom layers are written out whole, and compute the same."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from support import any_models

import keras_prune as kp

pytestmark = pytest.mark.core
WIDTH = 4


class Composite(layers.Layer):
    """Runs its parts one after the other, adds them to its inputs, or joins what each makes of these."""

    def __init__(self, kind, parts, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.parts = kind, [made(part) for part in parts]
        self.last = layers.Dense(WIDTH)

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="random_normal", name="scale")

    def call(self, x):
        if self.kind == "join":
            return self.last(ops.concatenate([part(x) for part in self.parts], -1))
        y = x * self.scale
        for part in self.parts:
            y = part(y)
        return x + y if self.kind == "residual" else y


LEAVES = {
    "dense": lambda: layers.Dense(WIDTH, "tanh"),
    "norm": layers.LayerNormalization,
    "kept": lambda: any_models.Kept(WIDTH),
    "twice": lambda: keras.Sequential([layers.Dense(6), any_models.Twice(), layers.Dense(WIDTH)]),
}


def made(part):
    return LEAVES[part]() if isinstance(part, str) else Composite(*part)


NETS = st.recursive(
    st.sampled_from(sorted(LEAVES)),
    lambda inner: st.tuples(st.sampled_from(["chain", "residual", "join"]), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=5,
)


@settings(max_examples=4)
@given(net=NETS, batch=st.integers(1, 9))
def test_random_nets_compute_the_same(net, batch):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((WIDTH,)), made(("chain", [net])), layers.Dense(2)])
    flat = kp.expand(model)
    assert kp.expansion.report(flat).whole == ()
    any_models.assert_same(model, flat, np.random.default_rng(batch).normal(size=(batch, WIDTH)).astype("float32"))
