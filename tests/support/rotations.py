"""Rotary embeddings as they are written: angles of positions, and both ways to pair the dimensions of a head."""

import numpy as np
from keras import layers, ops


def angles(length, size, paired="halves"):
    """Cosines and sines for each position and dimension, as constants."""
    given = np.arange(length)[:, None] / 10.0 ** (2 * np.arange(size // 2) / size)
    both = np.concatenate([given, given], -1) if paired == "halves" else np.repeat(given, 2, -1)
    return np.cos(both).astype("float32"), np.sin(both).astype("float32")


def turn_halves(x):
    """Dimension i beside i + size / 2, as in Llama."""
    first, second = ops.split(x, 2, axis=-1)
    return ops.concatenate([ops.negative(second), first], axis=-1)


def turn_halves_by_stacking(x):
    """The same as keras_hub writes it."""
    first, second = ops.split(x, 2, axis=-1)
    return ops.reshape(ops.stack([-second, first], axis=-2), (-1, *x.shape[1:]))


def turn_neighbours(x):
    """Dimension 2 i beside 2 i + 1, as in RoFormer."""
    even, odd = x[..., ::2], x[..., 1::2]
    return ops.reshape(ops.stack([-odd, even], axis=-1), (-1, *x.shape[1:]))


def rotated_attention(rotate, x, heads=2, keys=1, size=8):
    """Attention of rotated queries and keys; each key and value serves several heads."""
    query = layers.EinsumDense("abc,cde->abde", (x.shape[1], heads, size), bias_axes="de", name="query")(x)
    key = layers.EinsumDense("abc,cde->abde", (x.shape[1], keys, size), name="key")(x)
    value = layers.EinsumDense("abc,cde->abde", (x.shape[1], keys, 6), name="value")(x)
    query, key = rotate(query), rotate(key)
    key, value = (ops.repeat(each, heads // keys, axis=2) for each in (key, value))
    scores = ops.einsum("aecd,abcd->acbe", key, query) * (1 / np.sqrt(size))
    scores = ops.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -1e9)
    mixed = ops.einsum("acbe,aecd->abcd", ops.softmax(scores), value)
    return layers.EinsumDense("abcd,cde->abe", (x.shape[1], 10), name="mix")(mixed)


def computed_angles(positions, size):
    """The same, of positions that are a tensor of the graph: half of the sizes is computed, and repeated."""
    frequencies = 1 / 10.0 ** (2 * np.arange(size // 2, dtype="float32") / size)
    given = ops.einsum("bi,j->bij", positions, frequencies)
    also = ops.expand_dims(positions, -1) * frequencies
    both = ops.expand_dims(ops.concatenate([given, also], axis=-1), 2)
    return ops.cos(both), ops.sin(both)
