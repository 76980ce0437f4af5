"""Layers as linear maps: columns times matrices are what the layer itself computes."""

import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise
from support.versions import require_keras

from keras_prune.reconstruction.views.linear_views import linear_views

pytestmark = pytest.mark.core

LAYERS = {
    "dense": (lambda: layers.Dense(3), (5,)),
    "dense of a sequence": (lambda: layers.Dense(3, use_bias=False), (4, 5)),
    "conv1d": (lambda: layers.Conv1D(4, 3, strides=2, padding="same"), (9, 2)),
    "causal": (lambda: layers.Conv1D(4, 3, dilation_rate=2, padding="causal"), (9, 2)),
    "conv2d": (lambda: layers.Conv2D(4, (3, 2), strides=2, padding="same"), (7, 6, 3)),
    "pointwise": (lambda: layers.Conv2D(4, 1), (3, 3, 5)),
    "strided pointwise": (lambda: layers.Conv2D(4, 1, strides=2), (5, 5, 3)),
    "dilated": (lambda: layers.Conv2D(4, 3, dilation_rate=2), (8, 7, 3)),
    "grouped": (lambda: layers.Conv2D(6, 3, groups=2, padding="same"), (5, 5, 4)),
    "conv3d": (lambda: layers.Conv3D(2, 2, strides=2, padding="same"), (4, 5, 4, 2)),
    "transposed": (lambda: layers.Conv2DTranspose(3, 3, strides=2, padding="same"), (4, 3, 2)),
    "transposed, valid": (lambda: layers.Conv2DTranspose(3, 3, strides=2), (4, 3, 2)),
    "transposed 1d": (lambda: layers.Conv1DTranspose(3, 4, strides=2, padding="same"), (5, 2)),
    "transposed pointwise": (lambda: layers.Conv2DTranspose(3, 1), (4, 3, 2)),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), (5, 6, 3)),
    "depthwise 1d": (lambda: layers.DepthwiseConv1D(3, strides=2), (9, 4)),
    "einsum": (lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"), (4, 5)),
    "einsum, joined": (lambda: layers.EinsumDense("abcd,cde->abe", (None, 3), bias_axes="e"), (4, 2, 5)),
    "einsum, in groups": (lambda: layers.EinsumDense("abc,bcd->abd", (3, 4), bias_axes="bd"), (3, 5)),
    "einsum, turned": (lambda: layers.EinsumDense("abc,dc->adb", (4, None), bias_axes="d"), (3, 5)),
    "einsum, of any rank": (lambda: layers.EinsumDense("...x,xy->...y", 4, bias_axes="y"), (3, 2, 5)),
}


def made(name):
    make, shape = LAYERS[name]
    layer = make()
    layer.build((None, *shape))
    randomise(layer)
    return layer, np.random.default_rng(0).normal(size=(6, *shape)).astype("float32")


@pytest.mark.parametrize("name", LAYERS)
def test_columns_times_matrices_are_the_outputs(name):
    if name == "einsum, of any rank":
        require_keras("3.11")  # in Keras 3.10 the layer's own outputs are wrong on TensorFlow
    layer, x = made(name)
    (view,) = linear_views(layer)
    assert view.weight is layer.kernel
    outputs = ops.convert_to_numpy(layer(x))
    found = view.apply(view.columns(x))
    assert found.shape == view.rows(outputs).shape
    np.testing.assert_allclose(found, view.rows(outputs), atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_matrices_become_the_weights_again(name):
    layer, _ = made(name)
    (view,) = linear_views(layer)
    assert np.array_equal(view.weights(view.matrices()), ops.convert_to_numpy(layer.kernel))
    if view.bias is not None:
        assert np.array_equal(view.biases(view.offsets()), ops.convert_to_numpy(view.bias))


def test_both_parts_of_a_separable_convolution():
    layer = layers.SeparableConv2D(4, 3, padding="same", depth_multiplier=2)
    layer.build((None, 5, 6, 3))
    randomise(layer)
    x = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype("float32")
    first, second = linear_views(layer)
    between = np.moveaxis(first.apply(first.columns(x)), 0, 1).reshape(4, 5, 6, 6)
    found = second.apply(second.columns(between))
    np.testing.assert_allclose(found[0], ops.convert_to_numpy(layer(x)).reshape(-1, 4), atol=1e-5)
    assert first.internal
    assert not second.internal


@pytest.mark.parametrize("reset_after", [False, True])
def test_the_gates_of_a_recurrent_layer(reset_after):
    """From the products of both weights with their inputs the step of a GRU follows."""
    cell = layers.GRUCell(3, reset_after=reset_after, recurrent_activation="sigmoid")
    cell.build((None, 2))
    randomise(cell)
    rng = np.random.default_rng(0)
    x, state = (rng.normal(size=(5, size)).astype("float32") for size in (2, 3))
    given, states = linear_views(cell)
    read = given.apply(given.columns(x))[0].reshape(5, 3, 3)

    def sigmoid(values):
        return 1 / (1 + np.exp(-values))

    if reset_after:
        told = states.apply(states.columns(state))[0].reshape(5, 3, 3) + ops.convert_to_numpy(cell.bias)[1].reshape(
            3, 3
        )
        z, r = (sigmoid(read[:, gate] + told[:, gate]) for gate in (0, 1))
        new = np.tanh(read[:, 2] + r * told[:, 2])
    else:
        r = sigmoid(read[:, 1] + state @ states.matrices()[1])
        told = states.apply(states.columns(np.stack([state, state, r * state], axis=1)))
        z, new = sigmoid(read[:, 0] + told[0]), np.tanh(read[:, 2] + told[2])
    expected = ops.convert_to_numpy(cell(x, [state])[0])
    np.testing.assert_allclose(z * state + (1 - z) * new, expected, atol=1e-5)
    for view in (given, states):
        assert np.array_equal(view.weights(view.matrices()), ops.convert_to_numpy(view.weight))
    assert np.array_equal(given.biases(given.offsets()), ops.convert_to_numpy(cell.bias))


class Named(layers.Dense):
    """Computes what its parent does."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)


class Squashed(layers.Dense):
    """Computes something else of its kernel."""

    def call(self, inputs):
        return super().call(ops.tanh(inputs))


def test_a_layer_of_an_unknown_kind_has_no_view():
    assert linear_views(layers.BatchNormalization()) == []
    for kind, count in ((Named, 1), (Squashed, 0)):
        layer = kind(3)
        layer.build((None, 4))
        assert len(linear_views(layer)) == count


def test_an_equation_that_sums_over_inputs_alone_has_no_view():
    layer = layers.EinsumDense("abc,cd->ad", 3)
    layer.build((None, 4, 5))
    assert linear_views(layer) == []
